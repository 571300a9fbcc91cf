// SPDX-License-Identifier: MIT

//! The workloads of shunt on tokio, whose tasks have no stack: the same inputs and checks.
//!
//! Each is written as one would write it for tokio: an async block a task, yield_now to give way, a
//! JoinHandle to wait for a result. The setting workers=1, the default, is the current_thread runtime,
//! more are multi_thread with as many. It speaks the protocol of ../README.md on its standard input and
//! output. Debian's crates build it without a network.

mod chunked_sum;
mod openloop;
mod waits;

use serde_json::{json, Value};
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Set by the lab's build: a hash of these sources, the compiler and tokio; the latter two in words.
const BUILD_ID: Option<&str> = option_env!("SHUNT_BUILD_ID");
const VERSION: Option<&str> = option_env!("SHUNT_VERSION");

fn build_id() -> &'static str {
    BUILD_ID.unwrap_or("00000000")
}

/// Tells one message of the protocol.
fn say(name: &str, content: Value) {
    let mut message = serde_json::Map::new();
    message.insert(name.to_string(), content);
    if writeln!(std::io::stdout(), "{}", Value::Object(message)).is_err() {
        std::process::exit(3);
    }
}

/// Tells why there will be nothing more: "skip" or "fail".
fn end(how: &str, why: String) -> ! {
    say(how, json!(why));
    std::process::exit(0);
}

fn usage(why: &str) -> ! {
    eprintln!("tokio: {}", why);
    std::process::exit(2);
}

// ---- the run ------------------------------------------------------------------------------------

/// What was asked for. Public, because rustc 1.63 wants that of a type in the interface of a module.
pub struct Asked {
    params: Value,
    seed: u64,
}

impl Asked {
    fn whole(&self, name: &str) -> i64 {
        match self.params[name].as_i64() {
            Some(value) => value,
            None => end("fail", format!("the question has no whole number {}", name)),
        }
    }

    fn real(&self, name: &str) -> f64 {
        self.params[name].as_f64().unwrap_or(0.0)
    }

    fn text(&self, name: &str) -> &str {
        self.params[name].as_str().unwrap_or("")
    }
}

/// The times of one iteration.
struct Clock {
    began: Instant,
    cpu_began: i64,
}

fn cpu_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Sound: the kernel writes one timespec, which outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

impl Clock {
    fn start() -> Clock {
        Clock { cpu_began: cpu_ns(), began: Instant::now() }
    }

    /// (wall, processor time) in nanoseconds.
    fn stop(&self) -> (i64, i64) {
        let wall = self.began.elapsed().as_nanos() as i64;
        (wall, cpu_ns() - self.cpu_began)
    }
}

fn check(name: &str, expected: i64, actual: i64) {
    say("check", json!({"name": name, "expected": expected, "actual": actual}));
}

fn metric(name: &str, value: f64, unit: &str, better: &str) {
    say("metric", json!({"name": name, "value": value, "unit": unit, "better": better}));
}

fn samples(name: &str, unit: &str, values: &[i64]) {
    for part in values.chunks(20_000) {
        say("samples", json!({"name": name, "unit": unit, "values": part}));
    }
}

fn done(times: (i64, i64), operations: i64) {
    say("end", json!({"wall_ns": times.0, "cpu_ns": times.1, "ops": operations}));
}

/// Samples that tasks hand over when they end.
type Kept = Arc<Mutex<Vec<i64>>>;

fn told(name: &str, kept: &Kept) {
    let mut values = kept.lock().unwrap();
    samples(name, "ns", &values);
    values.clear();
}

/// The part of `count` that is the one of `index` of `parts`.
fn share(count: i64, parts: i64, index: i64) -> i64 {
    count / parts + i64::from(index < count % parts)
}

/// Steps the state and returns a number: core/rng.h.
fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

// ---- yield --------------------------------------------------------------------------------------

struct Yield {
    tasks: i64,
    switches: i64,
    sample: i64,
    turnaround: Kept,
}

impl Yield {
    async fn one(count: i64, sample: i64, turnaround: Kept) -> i64 {
        let mut timed = Vec::new();
        for i in 0..count {
            if sample > 0 && i % sample == 0 {
                let before = Instant::now();
                tokio::task::yield_now().await;
                timed.push(before.elapsed().as_nanos() as i64);
            } else {
                tokio::task::yield_now().await;
            }
        }
        turnaround.lock().unwrap().append(&mut timed);
        count
    }

    async fn iterate(&self) {
        let clock = Clock::start();
        let mut handles = Vec::with_capacity(self.tasks as usize);
        for i in 0..self.tasks {
            let count = share(self.switches, self.tasks, i);
            handles.push(tokio::spawn(Yield::one(count, self.sample, self.turnaround.clone())));
        }
        let mut made = 0;
        for handle in handles {
            made += handle.await.unwrap();
        }
        let times = clock.stop();
        check("yields", self.switches, made);
        told("turnaround", &self.turnaround);
        done(times, self.switches);
    }
}

// ---- spawn_join ---------------------------------------------------------------------------------

struct SpawnJoin {
    tasks: i64,
    alive: i64,
    sample: i64,
    delay: Kept,
}

impl SpawnJoin {
    async fn iterate(&self) {
        let per_sample = (self.sample / self.alive).max(1);
        let (mut joined, mut sum, mut first, mut batch) = (0i64, 0i64, 1, 0);
        let mut handles = Vec::with_capacity(self.alive as usize);
        let clock = Clock::start();
        while first <= self.tasks {
            let count = self.alive.min(self.tasks + 1 - first);
            let timed = if self.sample > 0 && batch % per_sample == 0 {
                batch / per_sample % count
            } else {
                -1
            };
            for i in 0..count {
                if i == timed {
                    let (spawned, delay) = (Instant::now(), self.delay.clone());
                    handles.push(tokio::spawn(async move {
                        let late = spawned.elapsed().as_nanos() as i64;
                        delay.lock().unwrap().push(late);
                        first + i
                    }));
                } else {
                    handles.push(tokio::spawn(async move { first + i }));
                }
            }
            for handle in handles.drain(..) {
                sum += handle.await.unwrap();
                joined += 1;
            }
            first += self.alive;
            batch += 1;
        }
        let times = clock.stop();
        check("tasks_joined", self.tasks, joined);
        check("sum_of_results", self.tasks * (self.tasks + 1) / 2, sum);
        told("start_delay", &self.delay);
        done(times, self.tasks);
    }
}

// ---- main ---------------------------------------------------------------------------------------

/// The parameters that a workload reads and, where it has one value only, that value.
fn known(workload: &str) -> &'static [(&'static str, Option<&'static str>)] {
    match workload {
        "chunked_sum" => &[
            ("items", None),
            ("tasks", None),
            ("chunk", None),
            ("pause", None),
            ("tail", None),
            ("data", None),
            ("kernel", None),
            ("preset", None),
            ("sample", None),
            ("input", Some("")),
            ("walk", Some("0")),
        ],
        "yield" => &[
            ("tasks", None),
            ("switches", None),
            ("sample", None),
            ("sites", Some("1")),
            ("depth", Some("0")),
        ],
        "spawn_join" => &[("tasks", None), ("alive", None), ("sample", None)],
        "timers" => &[
            ("tasks", None),
            ("sleeps", None),
            ("period", None),
            ("mode", None),
            ("spread", None),
            ("cancel", None),
            ("sample", None),
            ("skip", None),
            ("busy", Some("0")),
        ],
        "ring" => &[("tasks", None), ("hops", None), ("over", Some("semaphore")), ("sample", None)],
        "skynet" => &[("leaves", None), ("width", None), ("sample", None)],
        "openloop" => &[
            ("requests", None),
            ("process", None),
            ("load", None),
            ("rate", None),
            ("service", None),
            ("mean", None),
            ("sigma", None),
            ("deadline", None),
            ("steer", None),
            ("backlog", None),
            ("skip", None),
            ("series", None),
            ("stall_at", None),
            ("injection", Some("timer")),
            ("input", Some("")),
            ("slice", Some("0")),
            ("block", Some("0")),
            ("stall", Some("0")),
        ],
        _ => &[],
    }
}

fn refuse_unknown(workload: &str, params: &Value) {
    let empty = serde_json::Map::new();
    for (name, value) in params.as_object().unwrap_or(&empty) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        let fits = |only: &Option<&str>| only.map_or(true, |only| only == text);
        let may = known(workload).iter().any(|(own, only)| own == name && fits(only));
        // The default of form: tasks of this runtime are of one kind.
        if !may && !(name == "form" && text == "stack") {
            end("skip", format!("{}={} is not to be had from this driver", name, text));
        }
    }
}

fn workers_of(settings: &Value) -> usize {
    let empty = serde_json::Map::new();
    let all = std::thread::available_parallelism().map_or(1, |count| count.get());
    let mut workers = 1;
    for (key, value) in settings.as_object().unwrap_or(&empty) {
        let text = value.as_str().unwrap_or("");
        if key != "workers" {
            end("fail", format!("tokio has no setting {:?}; it has workers", key));
        }
        workers = match text.parse() {
            Ok(count) if count > 0 => count,
            _ if text == "all" => all,
            _ => end("fail", format!("workers={} is not a whole number of at least 1", text)),
        };
    }
    workers
}

/// Has `shunt record` start this program again, and record what it says.
fn record(words: &[String]) -> ! {
    if words.len() < 3 || words[0] != "run" {
        usage("use: run tokio WORKLOAD [key=value …] [--seed N] [--record FILE], or version --json");
    }
    if words[1].split(':').next() != Some("tokio") {
        usage(&format!("no backend {:?} in this driver; it is \"tokio\"", words[1]));
    }
    if known(&words[2]).is_empty() {
        usage(&format!("no workload {:?} in this driver", words[2]));
    }
    let shunt = std::env::var("SHUNT_RECORDER").unwrap_or_else(|_| "shunt".to_string());
    let own = std::env::current_exe().unwrap_or_else(|error| usage(&error.to_string()));
    let error = std::process::Command::new(&shunt).arg("record").args(&words[1..]).arg("--").arg(own).exec();
    usage(&format!("{}: {}; name the shunt that records the run in $SHUNT_RECORDER", shunt, error));
}

enum Work {
    ChunkedSum(chunked_sum::ChunkedSum),
    Yield(Yield),
    SpawnJoin(SpawnJoin),
    Timers(waits::Timers),
    Ring(waits::Ring),
    Skynet(waits::Skynet),
    OpenLoop(openloop::OpenLoop),
}

fn work_of(workload: &str, asked: &Asked, workers: usize) -> Work {
    match workload {
        "chunked_sum" => Work::ChunkedSum(chunked_sum::ChunkedSum::new(asked)),
        "yield" => Work::Yield(Yield {
            tasks: asked.whole("tasks"),
            switches: asked.whole("switches"),
            sample: asked.whole("sample"),
            turnaround: Kept::default(),
        }),
        "timers" => Work::Timers(waits::Timers::new(asked)),
        "ring" => Work::Ring(waits::Ring::new(asked)),
        "skynet" => Work::Skynet(waits::Skynet::new(asked)),
        "openloop" => Work::OpenLoop(openloop::OpenLoop::new(asked, workers)),
        _ => Work::SpawnJoin(SpawnJoin {
            tasks: asked.whole("tasks"),
            alive: asked.whole("alive"),
            sample: asked.whole("sample"),
            delay: Kept::default(),
        }),
    }
}

async fn perform(workload: String, asked: Asked, workers: usize, iterations: i64) {
    let work = work_of(&workload, &asked, workers);
    for number in 1..=iterations {
        say("begin", json!(number));
        match &work {
            Work::ChunkedSum(work) => work.iterate().await,
            Work::Yield(work) => work.iterate().await,
            Work::SpawnJoin(work) => work.iterate().await,
            Work::Timers(work) => work.iterate().await,
            Work::Ring(work) => work.iterate().await,
            Work::Skynet(work) => work.iterate().await,
            Work::OpenLoop(work) => work.iterate().await,
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().map(String::as_str) == Some("version") {
        let version = VERSION.unwrap_or("unknown");
        println!("{}", json!({"driver": "tokio", "version": version, "build_id": build_id()}));
        return;
    }
    if !words.is_empty() {
        record(&words);
    }
    let mut line = String::new();
    let question: Value = match std::io::stdin().lock().read_line(&mut line) {
        Ok(_) => serde_json::from_str(&line)
            .unwrap_or_else(|why| usage(&format!("standard input is not the question of `shunt record`: {}", why))),
        Err(why) => usage(&format!("standard input: {}", why)),
    };
    let workload = question["workload"].as_str().unwrap_or("").to_string();
    if known(&workload).is_empty() {
        end("skip", format!("no workload {:?} in this driver", workload));
    }
    refuse_unknown(&workload, &question["params"]);
    let workers = workers_of(&question["settings"]);
    let asked = Asked {
        params: question["params"].clone(),
        seed: question["seed"].as_str().and_then(|seed| seed.parse().ok()).unwrap_or(0),
    };
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    // Memory of ended tasks stays for the next iteration, as it does in shunt: without this half of the
    // time goes into page faults. Sound: it sets two numbers of the allocator.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
    }
    let runtime = builder.enable_time().build().unwrap_or_else(|why| end("fail", why.to_string()));
    let kind = if workers == 1 { "current_thread" } else { "multi_thread" };
    say(
        "program",
        json!({"build_id": build_id(),
               "composition": {"workers": workers.to_string(), "runtime": kind}}),
    );
    let iterations = question["iterations"].as_i64().unwrap_or(0);
    // The root runs on a worker, as in shunt.
    let root = runtime.spawn(perform(workload, asked, workers, iterations));
    if let Err(why) = runtime.block_on(root) {
        end("fail", why.to_string());
    }
}
