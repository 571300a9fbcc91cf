%% SPDX-License-Identifier: MIT
%% One run by the protocol of ../README.md: the question, the iterations, what they say.
%%
%% The setting workers is the number of schedulers that are online, by default all. What a workload knows is a
%% map of its parameters: any, or the one value that it has. Processor time is counted in milliseconds, because
%% that is how erlang:statistics gives it.
-module(shunt_lines).
-export([main/0, main/1, now_ns/0, say/2, skip/2, fail/2, check/3, metric/4, samples/3, begin_timed/0,
         end_timed/1, share/3, splitmix64/1, mask/1]).

-ifndef(BUILD_ID).
-define(BUILD_ID, "00000000").
-endif.
-define(VALUES_A_LINE, 20000).

main() -> answer().

main(["version" | _]) ->
    put_line(json(#{driver => "erlang", version => version(), build_id => ?BUILD_ID})),
    halt(0);
main(_) -> answer().

answer() ->
    try
        Asked = json_term(io:get_line("")),
        #{"workload" := Workload, "settings" := Settings, "iterations" := Iterations} = Asked,
        settle(maps:to_list(Settings)),
        perform(room(Workload), list_to_atom(Workload), Asked, Iterations)
    catch
        throw:{How, Why} -> say(How, Why);
        error:What:Where -> io:format(standard_error, "erlang: ~p~n~p~n", [What, Where]), halt(3)
    end,
    halt(0).

room("openloop") -> shunt_openloop;
room(_) -> shunt_workloads.

settle([]) -> ok;
settle([{"workers", "all"} | Rest]) -> settle(Rest);
settle([{"workers", Text} | Rest]) ->
    Most = erlang:system_info(schedulers),
    case string:to_integer(Text) of
        {Count, ""} when Count > Most ->
            skip("workers=~s: this emulator has ~b schedulers (ERL_FLAGS=\"+S N\" starts more)", [Text, Most]);
        {Count, ""} when Count > 0 -> erlang:system_flag(schedulers_online, Count);
        _ -> fail("workers=~s is not a whole number of at least 1", [Text])
    end,
    settle(Rest);
settle([{Key, _} | _]) -> fail("erlang has no setting ~s; it has workers", [Key]).

perform(Room, Workload, #{"params" := Params, "seed" := Seed}, Iterations) ->
    Known = (Room:knows(Workload))#{"form" => "stack"},  % the default: processes are the one kind of tasks
    [skip("~s=~s is not to be had from this driver", [Key, text(Value)])
     || {Key, Value} <- maps:to_list(Params), only(maps:get(Key, Known, nothing), Value)],
    Run = Params#{seed => list_to_integer(Seed)},
    State = Room:setup(Workload, Run),
    say(program, #{build_id => ?BUILD_ID, composition => #{
        workers => integer_to_list(erlang:system_info(schedulers_online)), runtime => version()}}),
    [begin
         say('begin', Number),
         {Times, Operations} = Room:iterate(Workload, Run, State),
         say('end', Times#{ops => Operations})
     end || Number <- lists:seq(1, Iterations)].

only(any, _) -> false;
only(Only, Value) -> Only =/= Value.

version() ->
    lists:flatten(io_lib:format("OTP-~s-erts-~s-~s", [
        erlang:system_info(otp_release), erlang:system_info(version), erlang:system_info(emu_flavor)])).

%% ---- what an iteration says

check(Name, Expected, Actual) -> say(check, #{name => Name, expected => Expected, actual => Actual}).

metric(Name, Value, Unit, Better) ->
    say(metric, #{name => Name, value => Value, unit => Unit, better => Better}).

samples(_, _, []) -> ok;
samples(Name, Unit, Values) ->
    {Line, Rest} = case length(Values) > ?VALUES_A_LINE of
        true -> lists:split(?VALUES_A_LINE, Values);
        false -> {Values, []}
    end,
    say(samples, #{name => Name, unit => Unit, values => {Line}}),
    samples(Name, Unit, Rest).

begin_timed() -> {element(1, erlang:statistics(runtime)), now_ns()}.

end_timed({Cpu, Wall}) ->
    Ended = now_ns(),
    #{wall_ns => Ended - Wall, cpu_ns => (element(1, erlang:statistics(runtime)) - Cpu) * 1000000}.

skip(Format, Words) -> throw({skip, lists:flatten(io_lib:format(Format, Words))}).
fail(Format, Words) -> throw({fail, lists:flatten(io_lib:format(Format, Words))}).

now_ns() -> erlang:monotonic_time(nanosecond).

%% ---- JSON

say(Name, Content) -> put_line(json(#{Name => Content})).

put_line(Text) ->
    case io:put_chars([Text, $\n]) of
        ok -> ok;
        {error, _} -> halt(3)       % nobody listens any more
    end.

%% A list is a text; one in a tuple is a list of values.
json(Map) when is_map(Map) ->
    [${, lists:join($,, [[$", atom_to_list(K), $", $:, json(V)] || {K, V} <- maps:to_list(Map)]), $}];
json({Values}) -> [$[, lists:join($,, [json(V) || V <- Values]), $]];
json(Value) when is_integer(Value) -> integer_to_list(Value);
json(Value) when is_float(Value) -> io_lib:format("~w", [Value]);
json(Value) when is_list(Value) -> io_lib:write_string(Value).

%% The tokens of JSON are those of Erlang, and a term of maps is made of them by other brackets.
json_term(Line) ->
    {ok, Tokens, _} = erl_scan:string(Line),
    {ok, Term} = erl_parse:parse_term(lists:flatmap(fun token/1, Tokens) ++ [{dot, 1}]),
    Term.

token({'{', At}) -> [{'#', At}, {'{', At}];
token({':', At}) -> [{'=>', At}];
token(Token) -> [Token].

text(Value) when is_list(Value) -> Value;
text(Value) -> io_lib:format("~w", [Value]).

%% ---- arithmetic

mask(Value) -> Value band 16#FFFFFFFFFFFFFFFF.

%% The Index-th part when Total is divided as evenly as can be, larger parts first.
share(Total, Parts, Index) when Index < Total rem Parts -> Total div Parts + 1;
share(Total, Parts, _) -> Total div Parts.

%% {next state, number}: core/rng.h.
splitmix64(State) ->
    Next = mask(State + 16#9E3779B97F4A7C15),
    A = mask((Next bxor (Next bsr 30)) * 16#BF58476D1CE4E5B9),
    B = mask((A bxor (A bsr 27)) * 16#94D049BB133111EB),
    {Next, B bxor (B bsr 31)}.
