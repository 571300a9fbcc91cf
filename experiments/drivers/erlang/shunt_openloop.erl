%% SPDX-License-Identifier: MIT
%% openloop: requests of an arrival table, each a process; latency from the intended arrival.
%%
%% As workloads/openloop.c with injection=timer, in what it measures and how: a process starts what is due and
%% sleeps until shortly before the next arrival, then gives way until it; the end of a request starts what is
%% due, too. Service is a calibrated loop. BEAM preempts a process after 4,000 calls, some microseconds: requests
%% share the processor. It has no slices, faults or traces of arrivals, and drops no request.
-module(shunt_openloop).
-export([knows/1, setup/2, iterate/3]).
-import(shunt_lines, [now_ns/0, check/3, metric/4, samples/3, begin_timed/0, end_timed/1, say/2, fail/2]).

-define(NEAR_NS, 2500000).      % from so long before an arrival on, no sleep is trusted: it is whole milliseconds
-define(LEAD_NS, 200000).
-define(SPIN_ROUNDS, 20000).
-define(ALL_CAME, 1 bsl 58).

%% What the processes share: indices of one array, then five values of each request.
-define(LOCK, 1).       % of the injector
-define(NEXT, 2).
-define(DUE, 3).        % ?ALL_CAME when all have arrived
-define(CHANCE, 4).     % when a request last ended
-define(INSIDE, 5).
-define(MOST, 6).
-define(SHARED, 6).
-define(EACH, 5).

knows(openloop) ->
    (maps:from_keys(["requests", "process", "load", "rate", "service", "mean", "sigma", "deadline", "steer",
                     "backlog", "skip", "series", "stall_at"], any))
        #{"injection" => "timer", "input" => "", "slice" => 0, "block" => 0, "stall" => 0}.

setup(openloop, Run) ->
    {list_to_tuple(arrivals(Run)), lists:min([calibrated() || _ <- lists:seq(1, 24)]) / ?SPIN_ROUNDS}.

calibrated() ->
    Before = now_ns(),
    spin(?SPIN_ROUNDS),
    now_ns() - Before.

spin(0) -> ok;
spin(Left) -> spin(Left - 1).

%% The table that `shunt arrivals` prints: {arrival in ns, service in ns}; its hash is a fact of the record.
arrivals(#{"requests" := Requests, "service" := Service, "mean" := Mean, seed := Seed} = Run) ->
    Words = ["requests", "rate", "process", "service"] ++ ["sigma" || Service =:= "lognormal"],
    Port = open_port({spawn_executable, os:getenv("SHUNT", "shunt")}, [binary, exit_status, stream, {args, [
        "arrivals", "--seed", integer_to_list(Seed), "mean=" ++ integer_to_list(Mean) ++ "ns"
        | [Word ++ "=" ++ said(maps:get(Word, Run)) || Word <- Words]]}]),
    case binary:split(read_all(Port, []), <<"\n">>, [global, trim]) of
        [<<"# hash ", Hash/binary>> | Rows] when length(Rows) =:= Requests ->
            say(fact, #{name => "arrivals.hash", value => binary_to_list(Hash)}),
            [row(binary:split(Row, <<" ">>, [global])) || Row <- Rows];
        _ -> fail("`shunt arrivals` gave no table of ~b requests", [Requests])
    end.

row([At, ServiceNs | _]) -> {binary_to_integer(At), binary_to_integer(ServiceNs)}.

said(Value) when is_list(Value) -> Value;
said(Value) -> io_lib:format("~w", [Value]).

read_all(Port, Read) ->
    receive
        {Port, {data, Data}} -> read_all(Port, [Read, Data]);
        {Port, {exit_status, 0}} -> iolist_to_binary(Read);
        {Port, {exit_status, Status}} -> fail("`shunt arrivals` ended with ~b", [Status])
    end.

%% ---- one iteration

-record(loop, {shared, table, round_ns, start, root, workers}).
-record(found, {injected, lag, started, ended, runs}).

iterate(openloop, Run, {Table, RoundNs}) ->
    Shared = atomics:new(?SHARED + ?EACH * tuple_size(Table), []),
    Timed = begin_timed(),
    Loop = #loop{shared = Shared, table = Table, round_ns = RoundNs, start = now_ns() + ?LEAD_NS, root = self(),
                 workers = erlang:system_info(schedulers_online)},
    atomics:put(Shared, ?NEXT, 1),
    atomics:put(Shared, ?DUE, intended(Loop, 1)),
    atomics:put(Shared, ?CHANCE, -?ALL_CAME),
    Generator = spawn(fun() -> generate(Loop), Loop#loop.root ! generated end),
    _ = Generator,
    [receive ended -> ok end || _ <- tuple_to_list(Table)],
    receive generated -> ok end,
    Times = end_timed(Timed),
    verify(Run, Loop, [found(Shared, I) || I <- lists:seq(1, tuple_size(Table))]),
    {Times, tuple_size(Table)}.

intended(#loop{start = Start, table = Table}, I) -> Start + element(1, element(I, Table)).

generate(#loop{shared = Shared} = Loop) ->
    Now = now_ns(),
    case atomics:get(Shared, ?DUE) of
        ?ALL_CAME -> ok;
        Due when Now >= Due -> inject(Loop, Now), generate(Loop);
        Due when Due - Now > ?NEAR_NS ->
            receive after (Due - Now - ?NEAR_NS) div 1000000 + 1 -> generate(Loop) end;
        _ -> erlang:yield(), generate(Loop)
    end.

%% Starts all that are due; whoever finds it busy knows that they are being started.
inject(#loop{shared = Shared} = Loop, At) ->
    case atomics:compare_exchange(Shared, ?LOCK, 0, 1) of
        ok ->
            Next = inject_due(Loop, At, atomics:get(Shared, ?NEXT)),
            atomics:put(Shared, ?NEXT, Next),
            Due = if Next > tuple_size(Loop#loop.table) -> ?ALL_CAME; true -> intended(Loop, Next) end,
            atomics:put(Shared, ?DUE, Due),
            atomics:put(Shared, ?LOCK, 0);
        _ -> ok
    end.

inject_due(#loop{table = Table}, _, I) when I > tuple_size(Table) -> I;
inject_due(Loop, At, I) ->
    case intended(Loop, I) of
        Intended when Intended > At -> I;
        Intended -> start(Loop, At, I, Intended), inject_due(Loop, At, I + 1)
    end.

start(#loop{shared = Shared, workers = Workers} = Loop, At, I, Intended) ->
    Chance = atomics:get(Shared, ?CHANCE),
    Held = atomics:get(Shared, ?INSIDE) >= Workers,
    Since = if Held -> max(Chance, Intended); true -> Intended end,
    put_value(Shared, I, #found.injected, At),
    put_value(Shared, I, #found.lag, max(At - Since, 0)),
    Inside = atomics:add_get(Shared, ?INSIDE, 1),
    atomics:get(Shared, ?MOST) < Inside andalso atomics:put(Shared, ?MOST, Inside),
    spawn(fun() -> request(Loop, I) end).

request(#loop{shared = Shared, table = Table, round_ns = RoundNs, root = Root} = Loop, I) ->
    put_value(Shared, I, #found.started, now_ns()),
    atomics:add(Shared, place(I, #found.runs), 1),
    spin(trunc(element(2, element(I, Table)) / RoundNs)),
    Ended = now_ns(),
    put_value(Shared, I, #found.ended, Ended),
    atomics:put(Shared, ?CHANCE, Ended),
    atomics:get(Shared, ?DUE) =< Ended andalso inject(Loop, Ended),
    atomics:sub(Shared, ?INSIDE, 1),
    Root ! ended.

place(I, Field) -> ?SHARED + ?EACH * (I - 1) + Field - 1.
put_value(Shared, I, Field, Value) -> atomics:put(Shared, place(I, Field), Value).
value(Shared, I, Field) -> atomics:get(Shared, place(I, Field)).

found(Shared, I) ->
    list_to_tuple([found | [value(Shared, I, Field) || Field <- lists:seq(#found.injected, #found.runs)]]).

%% ---- results

verify(#{"backlog" := Backlog} = Run, #loop{shared = Shared} = Loop, Found) ->
    Rows = lists:zip3(lists:seq(1, length(Found)), Found, tuple_to_list(Loop#loop.table)),
    N = length(Found),
    check("requests", N, lists:sum([F#found.runs || F <- Found])),
    check("sum_of_ids", N * (N + 1) div 2, lists:sum([I * F#found.runs || {I, F, _} <- Rows])),
    check("before_their_time", 0, length([I || {I, F, _} <- Rows, not in_order(Loop, I, F)])),
    Most = atomics:get(Shared, ?MOST),
    Most > Backlog andalso fail("~b requests at once are more than backlog=~b, and this driver drops none",
                                [Most, Backlog]),
    report(Run, Loop, lists:nthtail(maps:get("skip", Run), Rows), Most).

in_order(Loop, I, #found{injected = Injected, started = Started, ended = Ended}) ->
    intended(Loop, I) =< Injected andalso Injected =< Started andalso Started =< Ended.

report(#{"deadline" := Deadline, "series" := Wanted}, #loop{table = Table} = Loop, Rows, Most) ->
    Series = [{Name, lists:sort([Of(F, intended(Loop, I), Service) || {I, F, {_, Service}} <- Rows])}
              || {Name, Of} <- series()],
    [samples(Name, if Name =:= "slowdown" -> "1/1000"; true -> "ns" end, Values)
     || {Name, Values} <- Series, Wanted =:= "all" orelse Wanted =:= Name],
    Values = maps:from_list(Series),
    #{"response" := Response, "slowdown" := Slowdown, "queueing" := Queueing, "lag" := Lag} = Values,
    {Last, _} = element(tuple_size(Table), Table),
    metric("offered_load", lists:sum([S || {_, S} <- tuple_to_list(Table)]) / (Last + 1), "1", "none"),
    metric("backlog_max", Most, "1", "lower"),
    metric("deadline_missed", length([R || R <- Response, R > Deadline]) / length(Response), "1", "lower"),
    [metric(Name ++ "_mean_ns", lists:sum(maps:get(Name, Values)) / length(Rows), "ns", "lower")
     || Name <- ["response", "queueing", "lag", "injection"]],
    [begin
         quantile(Response, Q, "response_" ++ Label ++ "_ns", 1, "ns"),
         quantile(Slowdown, Q, "slowdown_" ++ Label, 1000, "1")
     end || {Label, Q} <- [{"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}]],
    quantile(Queueing, 0.99, "queueing_p99_ns", 1, "ns"),
    quantile(Lag, 0.99, "lag_p99_ns", 1, "ns").

series() ->
    [{"lag", fun(F, _, _) -> F#found.lag end},
     {"injection", fun(F, Intended, _) -> F#found.injected - Intended end},
     {"queueing", fun(F, Intended, _) -> F#found.started - Intended end},
     {"service", fun(F, _, _) -> F#found.ended - F#found.started end},
     {"response", fun(F, Intended, _) -> F#found.ended - Intended end},
     {"slowdown", fun(F, Intended, Service) -> (F#found.ended - Intended) * 1000 div Service end}].

%% Of sorted values, where there are enough of them.
quantile(Sorted, Q, Name, Scale, Unit) ->
    N = length(Sorted),
    N >= math:log(0.025) / math:log(Q) andalso
        metric(Name, lists:nth(ceil(Q * N - 1.0e-9), Sorted) / Scale, Unit, "lower").
