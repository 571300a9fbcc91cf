%% SPDX-License-Identifier: MIT
%% The workloads of shunt but openloop: chunked_sum, yield, spawn_join, timers, ring, skynet.
%%
%% Each is written as one would write it in Erlang: a process a task, erlang:yield to give way, a message to pass
%% a token or to hand over a result. What a process has sampled it sends with its result. Timeouts are whole
%% milliseconds there, and so a shorter or broken one is rounded up; its lateness tells.
-module(shunt_workloads).
-export([knows/1, setup/2, iterate/3]).
-import(shunt_lines, [now_ns/0, check/3, metric/4, samples/3, begin_timed/0, end_timed/1, share/3, splitmix64/1,
                      mask/1]).

-define(STRIDE, 16#632BE59BD9B4E019).

anys(Names) -> maps:from_keys(Names, any).

knows(chunked_sum) ->
    (anys(["items", "tasks", "chunk", "pause", "tail", "data", "kernel", "preset", "sample"]))
        #{"input" => "", "walk" => 0};
knows(yield) -> (anys(["tasks", "switches", "sample"]))#{"sites" => 1, "depth" => 0};
knows(spawn_join) -> anys(["tasks", "alive", "sample"]);
knows(timers) ->
    (anys(["tasks", "sleeps", "period", "mode", "spread", "cancel", "sample", "skip"]))#{"busy" => 0};
knows(ring) -> (anys(["tasks", "hops", "sample"]))#{"over" => "semaphore"};
knows(skynet) -> anys(["leaves", "width", "sample"]).

setup(chunked_sum, Run) -> slices(Run, numbers(Run));
setup(_, _) -> none.

iterate(chunked_sum, Run, Slices) -> sum_iterate(Run, Slices);
iterate(yield, Run, _) -> yield_iterate(Run);
iterate(spawn_join, Run, _) -> spawn_iterate(Run);
iterate(timers, Run, _) -> timers_iterate(Run);
iterate(ring, Run, _) -> ring_iterate(Run);
iterate(skynet, Run, _) -> skynet_iterate(Run).

%% A process a value: what Body(Value) gives of each, in their order.
each(Values, Body) -> join(start(Values, Body)).

start(Values, Body) ->
    Root = self(),
    [spawn(fun() -> Root ! {self(), Body(Value)} end) || Value <- Values].

join(Pids) -> [receive {Pid, Result} -> Result end || Pid <- Pids].

samples_of(Results) -> lists:append([Samples || {_, Samples} <- Results]).

%% ---- chunked_sum: a slice is {numbers as 64-bit integers, rounds, the first round to sample}

numbers(#{"data" := "index", "items" := Count}) -> << <<I:64/native>> || I <- lists:seq(0, Count - 1) >>;
numbers(#{"items" := Count, seed := Seed}) -> iolist_to_binary(drawn(Count, Seed)).

drawn(0, _) -> [];
drawn(Left, State) ->
    {Next, Z} = splitmix64(State),
    <<Number:32/signed>> = <<(Z bsr 32):32>>,
    [<<Number:64/native>> | drawn(Left - 1, Next)].

slices(#{"items" := Items, "tasks" := Tasks} = Run, Numbers) ->
    {Slices, _} = lists:mapfoldl(fun(I, {At, Before}) ->
        Length = share(Items, Tasks, I),
        Rounds = rounds(Run, Length),
        First = case Run of
            #{"sample" := 0} -> 0;
            #{"sample" := Every} -> Every - Before rem Every
        end,
        Own = binary:part(Numbers, 8 * At, 8 * Length),
        {{Own, Rounds, First}, {At + Length, Before + Rounds}}
    end, {0, 0}, lists:seq(0, Tasks - 1)),
    Slices.

rounds(#{"tail" := 1, "chunk" := Chunk}, Length) -> Length div Chunk + 1;
rounds(#{"tail" := "1"} = Run, Length) -> rounds(Run#{"tail" := 1}, Length);
rounds(#{"chunk" := Chunk}, Length) -> (Length + Chunk - 1) div Chunk.

add_up(<<Number:64/signed-native, Rest/binary>>, Left, Total) when Left > 0 ->
    add_up(Rest, Left - 1, Total + Number);
add_up(Rest, _, Total) -> {Total, Rest}.

sum_iterate(#{"chunk" := Chunk, "pause" := Pause, "sample" := Every, "items" := Items}, Slices) ->
    Timed = begin_timed(),
    Started = now_ns(),
    Parts = each(Slices, fun({Own, Rounds, First}) ->
        {Total, Early, Delays, Yields} = sum_rounds(Own, 0, Rounds, First, {Chunk, Pause, Every}, {0, 0, []}),
        {{{Total, Yields}, Early, now_ns() - Started}, Delays}
    end),
    Times = end_timed(Timed),
    Found = [Value || {Value, _} <- Parts],
    sum_verify([{element(1, add_up(Own, byte_size(Own), 0)), Total, Rounds, Yields}
                || {{Own, Rounds, _}, {{Total, Yields}, _, _}} <- lists:zip(Slices, Found)]),
    Pause > 0 andalso check("wakes_before_their_deadline", 0, lists:sum([Early || {_, Early, _} <- Found])),
    metric("elements", Items, "1", "none"),
    metric("elements_per_s", Items * 1.0e9 / maps:get(wall_ns, Times), "1/s", "higher"),
    samples("resume_delay", "ns", samples_of(Parts)),
    samples("completion", "ns", [Completion || {_, _, Completion} <- Found]),
    {Times, lists:sum([Rounds || {_, Rounds, _} <- Slices])}.

sum_rounds(_, Rounds, Rounds, _, _, {Total, Early, Delays}) -> {Total, Early, Delays, Rounds};
sum_rounds(Own, Round, Rounds, In, {Chunk, Pause, Every} = Way, {Total, Early, Delays}) ->
    {Sum, Rest} = add_up(Own, Chunk, Total),
    if
        Pause > 0 ->
            Due = now_ns() + Pause,
            Late = slept(Pause) - Due,
            {Next, Taken} = if In =:= 1 -> {Every, [Late | Delays]}; true -> {In - 1, Delays} end,
            sum_rounds(Rest, Round + 1, Rounds, Next, Way, {Sum, Early + early(Late), Taken});
        In =:= 1 ->
            Before = now_ns(),
            erlang:yield(),
            sum_rounds(Rest, Round + 1, Rounds, Every, Way, {Sum, Early, [now_ns() - Before | Delays]});
        true ->
            erlang:yield(),
            sum_rounds(Rest, Round + 1, Rounds, In - 1, Way, {Sum, Early, Delays})
    end.

sum_verify(Parts) ->
    length(Parts) =< 4 andalso [check([$s, $u, $m, $_, $A + I], Expected, Total)
                                || {I, {Expected, Total, _, _}} <- lists:zip(lists:seq(0, length(Parts) - 1), Parts)],
    check("total", lists:sum([E || {E, _, _, _} <- Parts]), lists:sum([T || {_, T, _, _} <- Parts])),
    check("tasks_with_the_right_sum", length(Parts), length([1 || {Same, Same, _, _} <- Parts])),
    check("tasks_with_the_right_yields", length(Parts), length([1 || {_, _, Same, Same} <- Parts])).

%% Sleeps; when it woke.
slept(Ns) ->
    receive after milliseconds(Ns) -> now_ns() end.

milliseconds(Ns) -> (Ns + 999999) div 1000000.

early(Late) when Late < 0 -> 1;
early(_) -> 0.

%% ---- yield

yield_iterate(#{"tasks" := Tasks, "switches" := Switches, "sample" := Every}) ->
    Timed = begin_timed(),
    Results = each([share(Switches, Tasks, I) || I <- lists:seq(0, Tasks - 1)],
                   fun(Count) -> yields(Count, Every, []) end),
    Times = end_timed(Timed),
    check("yields", Switches, lists:sum([Count || {Count, _} <- Results])),
    samples("turnaround", "ns", samples_of(Results)),
    {Times, Switches}.

yields(Count, Every, Taken) -> yields(Count, Every, Taken, Count).

yields(Left, Every, Taken, Count) when Every > 0, Left >= Every ->
    Before = now_ns(),
    erlang:yield(),
    Turn = now_ns() - Before,
    yield_times(Every - 1),
    yields(Left - Every, Every, [Turn | Taken], Count);
yields(Left, _, Taken, Count) ->
    yield_times(Left),
    {Count, Taken}.

yield_times(0) -> ok;
yield_times(Left) ->
    erlang:yield(),
    yield_times(Left - 1).

%% ---- spawn_join: results come in the order in which the processes end

spawn_iterate(#{"tasks" := Tasks, "alive" := Alive, "sample" := Every}) ->
    Apart = max(Every div Alive, 1),
    Timed = begin_timed(),
    {Joined, Sum, Delays} = batches(1, Tasks, Alive, {Every, Apart}, 0, {0, 0, []}),
    Times = end_timed(Timed),
    check("tasks_joined", Tasks, Joined),
    check("sum_of_results", Tasks * (Tasks + 1) div 2, Sum),
    samples("start_delay", "ns", Delays),
    {Times, Tasks}.

batches(First, Tasks, _, _, _, Found) when First > Tasks -> Found;
batches(First, Tasks, Alive, {Every, Apart} = Way, Batch, {Joined, Sum, Delays}) ->
    Count = min(Alive, Tasks + 1 - First),
    Which = case Every > 0 andalso Batch rem Apart of
        0 -> First + Batch div Apart rem Count;
        _ -> 0
    end,
    Root = self(),
    start_batch(First, First + Count, Which, Root),
    {More, Taken} = join_batch(Count, 0, Delays),
    batches(First + Alive, Tasks, Alive, Way, Batch + 1, {Joined + Count, Sum + More, Taken}).

start_batch(End, End, _, _) -> ok;
start_batch(Which, End, Which, Root) ->
    Spawned = now_ns(),
    spawn(fun() -> Root ! {Which, now_ns() - Spawned} end),
    start_batch(Which + 1, End, Which, Root);
start_batch(Number, End, Which, Root) ->
    spawn(fun() -> Root ! Number end),
    start_batch(Number + 1, End, Which, Root).

join_batch(0, Sum, Delays) -> {Sum, Delays};
join_batch(Left, Sum, Delays) ->
    receive
        {Number, Delay} -> join_batch(Left - 1, Sum + Number, [Delay | Delays]);
        Number -> join_batch(Left - 1, Sum + Number, Delays)
    end.

%% ---- timers

timers_iterate(#{"tasks" := Tasks, "sleeps" := Sleeps, "cancel" := Cancel, seed := Seed} = Run) ->
    Timed = begin_timed(),
    Root = self(),
    Server = spawn(fun() -> serve(Root, 0) end),
    Way = Run#{server => Server, below => trunc(Cancel * (1 bsl 53))},
    Results = each(lists:seq(0, Tasks - 1), fun(I) ->
        sleeper(0, mask(Seed + I * ?STRIDE), Way, {0, 0, 0, []})
    end),
    Server ! stop,
    Answered = receive {answered, Count} -> Count end,
    Times = end_timed(Timed),
    Waits = Tasks * Sleeps,
    {Done, Early, Asked, Cancelled} = lists:foldl(fun({D, {E, A, C, _}}, {Ds, Es, As, Cs}) ->
        {Ds + D, Es + E, As + A, Cs + C} end, {0, 0, 0, 0}, Results),
    check("waits", Waits, Done),
    check("wakes_before_their_deadline", 0, Early),
    check("answers", Asked, Answered),
    Asked > 0 andalso metric("cancelled_of_requests", Cancelled / Asked, "1", "none"),
    metric("cpu_ns_per_timer", maps:get(cpu_ns, Times) / Waits, "ns", "lower"),
    samples("lateness", "ns", lists:append([Lates || {_, {_, _, _, Lates}} <- Results])),
    {Times, Waits}.

serve(Root, Answered) ->
    receive
        stop -> Root ! {answered, Answered};
        Asker -> Asker ! answer, serve(Root, Answered + 1)
    end.

sleeper(Index, _, #{"sleeps" := Index}, Found) -> {Index, Found};
sleeper(Index, State, Way, Found) ->
    {Length, Drawn} = length_of(Way, State),
    {IsRequest, Next} = is_request(Way, Drawn),
    Due = now_ns() + Length,
    Now = case IsRequest of
        false -> noted(slept(Length) - Due, Index, Way, Found);
        true -> request(Length, Due, Index, Way, Found)
    end,
    sleeper(Index + 1, Next, Way, Now).

length_of(#{"mode" := "fixed", "period" := Period}, State) -> {Period, State};
length_of(#{"period" := Period, "spread" := Spread}, State) ->
    {Next, Draw} = splitmix64(State),
    {Period - Spread + (Draw * (2 * Spread + 1) bsr 64), Next}.

is_request(#{below := 0}, State) -> {false, State};
is_request(#{below := Below}, State) ->
    {Next, Draw} = splitmix64(State),
    {Draw bsr 11 < Below, Next}.

%% A request with a timeout, answered at once by the server.
request(Length, Due, Index, #{server := Server} = Way, {Early, Asked, Cancelled, Lates}) ->
    Server ! self(),
    receive
        answer -> {Early, Asked + 1, Cancelled + 1, Lates}
    after milliseconds(Length) ->
        Found = noted(now_ns() - Due, Index, Way, {Early, Asked + 1, Cancelled, Lates}),
        receive answer -> Found end
    end.

noted(Late, Index, #{"sample" := Every, "skip" := Skip}, {Early, Asked, Cancelled, Lates}) when
        Every > 0, Index >= Skip, Index rem Every =:= 0 ->
    {Early + early(Late), Asked, Cancelled, [Late | Lates]};
noted(Late, _, _, {Early, Asked, Cancelled, Lates}) -> {Early + early(Late), Asked, Cancelled, Lates}.

%% ---- ring

ring_iterate(#{"tasks" := Tasks, "hops" := Hops, "sample" := Every}) ->
    Apart = max(Every div Tasks, 1),
    Root = self(),
    Members = start(lists:seq(0, Tasks - 1), fun(Index) ->
        Next = receive {next, Pid} -> Pid end,
        Root ! ready,
        Lap = if Every > 0, Index =:= 0 -> 1; true -> -1 end,
        member(share(Hops, Tasks, Index), Index, Next, {Tasks, Hops, Apart}, {Lap, none}, {0, 0, []})
    end),
    [Member ! {next, Next} || {Member, Next} <- lists:zip(Members, tl(Members) ++ [hd(Members)])],
    [receive ready -> ok end || _ <- Members],
    Timed = begin_timed(),
    hd(Members) ! 0,
    Results = join(Members),
    Times = end_timed(Timed),
    check("hops", Hops, lists:sum([Made || {Made, _, _} <- Results])),
    check("tokens_out_of_sequence", 0, lists:sum([Wrong || {_, Wrong, _} <- Results])),
    samples("lap", "ns", lists:append([Laps || {_, _, Laps} <- Results])),
    {Times, Hops}.

%% Expected is the next token; Lap in how many laps to read the clock, and since when one is timed.
member(0, _, _, _, _, Found) -> Found;
member(Left, Expected, Next, {Tasks, Hops, _} = Way, {Lap, Since}, {Made, Wrong, Laps}) ->
    receive
        Token when is_integer(Token) ->
            {Later, Taken} = time_lap(Lap - 1, Since, Way, Laps),
            Token + 1 < Hops andalso (Next ! Token + 1),
            Bad = if Token =:= Expected -> Wrong; true -> Wrong + 1 end,
            member(Left - 1, Expected + Tasks, Next, Way, Later, {Made + 1, Bad, Taken})
    end.

time_lap(0, none, _, Laps) -> {{1, now_ns()}, Laps};
time_lap(0, Since, {_, _, Apart}, Laps) ->
    Now = now_ns(),
    {if Apart > 1 -> {Apart - 1, none}; true -> {1, Now} end, [Now - Since | Laps]};
time_lap(Lap, Since, _, Laps) -> {{Lap, Since}, Laps}.

%% ---- skynet

skynet_iterate(#{"leaves" := Leaves, "width" := Width, "sample" := Every}) ->
    Way = {Width, if Every > 0 -> max(Every div Width, 1); true -> 0 end},
    Timed = begin_timed(),
    Root = self(),
    spawn(fun() -> node(Root, 0, Leaves, none, Way) end),
    {Sum, Delays} = receive {_, _} = Found -> Found; Whole -> {Whole, []} end,
    Times = end_timed(Timed),
    check("sum_of_leaves", Leaves * (Leaves - 1) div 2, Sum),
    samples("start_delay", "ns", Delays),
    {Times, Leaves}.

%% Sends its sum, or {sum, samples} where there are samples.
node(Above, First, 1, none, _) -> Above ! First;
node(Above, First, 1, Spawned, _) -> Above ! {First, [now_ns() - Spawned]};
node(Above, First, Size, _, {Width, _} = Way) ->
    Part = Size div Width,
    Node = self(),
    children(0, Node, First, Part, Way),
    Above ! sums(Width, 0, []).

children(Width, _, _, _, {Width, _}) -> ok;
children(I, Node, First, Part, {Width, Apart} = Way) ->
    Spawned = if
        I =:= 0, Part =:= 1, Apart > 0, First div Width rem Apart =:= 0 -> now_ns();
        true -> none
    end,
    spawn(fun() -> node(Node, First + I * Part, Part, Spawned, Way) end),
    children(I + 1, Node, First, Part, Way).

sums(0, Sum, []) -> Sum;
sums(0, Sum, Samples) -> {Sum, Samples};
sums(Left, Sum, Samples) ->
    receive
        {More, Taken} -> sums(Left - 1, Sum + More, Taken ++ Samples);
        More -> sums(Left - 1, Sum + More, Samples)
    end.
