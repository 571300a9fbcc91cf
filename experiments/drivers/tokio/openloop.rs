// SPDX-License-Identifier: MIT

//! openloop: requests of an arrival table, each a task; latency from the intended arrival.
//!
//! As workloads/openloop.c with injection=timer, in what it measures and how: a task starts what is due and
//! sleeps until shortly before the next arrival, then gives way until it; the end of a request starts what
//! is due, too. Service is calibrated arithmetic, in one piece. It has no slices, faults or traces of
//! arrivals, and drops no request.

use crate::{check, done, end, metric, samples, say, Asked, Clock};
use serde_json::json;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// From so long before an arrival on, no sleep is trusted: tokio's timers count in milliseconds.
const NEAR_NS: i64 = 2_500_000;
const LEAD_NS: i64 = 200_000;
const ALL_CAME: i64 = i64::MAX;

struct Arrival {
    at: i64,
    service: i64,
}

#[derive(Default)]
struct Request {
    injected: AtomicI64,
    lag: AtomicI64,
    started: AtomicI64,
    ended: AtomicI64,
    runs: AtomicI64,
}

/// One iteration. Times are nanoseconds from `base`, the table's time 0.
struct Loop {
    table: Arc<Vec<Arrival>>,
    requests: Vec<Request>,
    rounds_per_ns: f64,
    workers: i64,
    base: Instant,
    next: Mutex<usize>, // of the injector
    due: AtomicI64,
    chance: AtomicI64, // when a request last ended
    inside: AtomicI64,
    most: AtomicI64,
    left: AtomicI64,
    over: tokio::sync::Notify,
}

#[inline(never)]
fn spin(rounds: u64) {
    let mut x = rounds;
    for _ in 0..rounds {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    // Volatile, so that nothing of it is left out. Sound: the place is a local variable.
    unsafe { std::ptr::write_volatile(&mut x, x) };
}

/// How many rounds a nanosecond has: the best of short series.
fn calibrate() -> f64 {
    const ROUNDS: u64 = 20_000;
    let best = (0..24).map(|_| {
        let begin = Instant::now();
        spin(ROUNDS);
        begin.elapsed().as_nanos()
    });
    ROUNDS as f64 / best.min().unwrap_or(1) as f64
}

/// The table that `shunt arrivals` prints; its hash is a fact of the record.
fn arrivals(asked: &Asked) -> Vec<Arrival> {
    let mut words = vec!["arrivals".to_string(), "--seed".to_string(), asked.seed.to_string()];
    words.push(format!("mean={}ns", asked.whole("mean")));
    for name in ["requests", "rate", "process", "service", "sigma"] {
        if name != "sigma" || asked.text("service") == "lognormal" {
            let value = &asked.params[name];
            words.push(format!("{}={}", name, value.as_str().map_or_else(|| value.to_string(), str::to_string)));
        }
    }
    let shunt = std::env::var("SHUNT").unwrap_or_else(|_| "shunt".to_string());
    let printed = match std::process::Command::new(shunt).args(words).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(why) => end("fail", format!("`shunt arrivals`: {}", why)),
    };
    let mut rows = printed.lines();
    let hash = rows.next().and_then(|head| head.strip_prefix("# hash ")).unwrap_or("").to_string();
    let made: Vec<Arrival> = rows
        .filter_map(|row| {
            let mut numbers = row.split(' ').map(str::parse);
            Some(Arrival { at: numbers.next()?.ok()?, service: numbers.next()?.ok()? })
        })
        .collect();
    if made.len() as i64 != asked.whole("requests") {
        end("fail", "`shunt arrivals` gave no table of as many requests".to_string());
    }
    say("fact", json!({"name": "arrivals.hash", "value": hash}));
    made
}

impl Loop {
    fn now(&self) -> i64 {
        let now = Instant::now();
        now.saturating_duration_since(self.base).as_nanos() as i64
            - self.base.saturating_duration_since(now).as_nanos() as i64
    }

    /// Starts all that are due; whoever finds it busy knows that they are being started.
    fn inject(self: &Arc<Self>, at: i64) {
        let mut next = match self.next.try_lock() {
            Ok(next) => next,
            Err(_) => return,
        };
        while *next < self.table.len() && self.table[*next].at <= at {
            let (request, intended) = (&self.requests[*next], self.table[*next].at);
            let held = self.inside.load(SeqCst) >= self.workers;
            let since = if held { intended.max(self.chance.load(SeqCst)) } else { intended };
            request.injected.store(at, SeqCst);
            request.lag.store((at - since).max(0), SeqCst);
            self.most.fetch_max(self.inside.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::spawn(Loop::serve(self.clone(), *next));
            *next += 1;
        }
        self.due.store(self.table.get(*next).map_or(ALL_CAME, |arrival| arrival.at), SeqCst);
    }

    async fn serve(self: Arc<Self>, number: usize) {
        let request = &self.requests[number];
        request.started.store(self.now(), SeqCst);
        request.runs.fetch_add(1, SeqCst);
        spin((self.table[number].service as f64 * self.rounds_per_ns) as u64);
        let ended = self.now();
        request.ended.store(ended, SeqCst);
        self.chance.store(ended, SeqCst);
        if self.due.load(SeqCst) <= ended {
            self.inject(ended);
        }
        self.inside.fetch_sub(1, SeqCst);
        if self.left.fetch_sub(1, SeqCst) == 1 {
            self.over.notify_one();
        }
    }

    async fn generate(self: Arc<Self>) {
        loop {
            let (due, now) = (self.due.load(SeqCst), self.now());
            if due == ALL_CAME {
                return;
            } else if now >= due {
                self.inject(now);
            } else if due - now > NEAR_NS {
                tokio::time::sleep(Duration::from_nanos((due - now - NEAR_NS) as u64)).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }
}

pub struct OpenLoop {
    table: Arc<Vec<Arrival>>,
    rounds_per_ns: f64,
    workers: i64,
    backlog: i64,
    skip: usize,
    deadline: i64,
    series: String,
}

impl OpenLoop {
    pub fn new(asked: &Asked, workers: usize) -> OpenLoop {
        OpenLoop {
            table: Arc::new(arrivals(asked)),
            rounds_per_ns: calibrate(),
            workers: workers as i64,
            backlog: asked.whole("backlog"),
            skip: asked.whole("skip") as usize,
            deadline: asked.whole("deadline"),
            series: asked.text("series").to_string(),
        }
    }

    pub async fn iterate(&self) {
        let clock = Clock::start();
        let all = Arc::new(Loop {
            table: self.table.clone(),
            requests: self.table.iter().map(|_| Request::default()).collect(),
            rounds_per_ns: self.rounds_per_ns,
            workers: self.workers,
            base: Instant::now() + Duration::from_nanos(LEAD_NS as u64),
            next: Mutex::new(0),
            due: AtomicI64::new(self.table[0].at),
            chance: AtomicI64::new(-LEAD_NS),
            inside: AtomicI64::new(0),
            most: AtomicI64::new(0),
            left: AtomicI64::new(self.table.len() as i64),
            over: tokio::sync::Notify::new(),
        });
        let generator = tokio::spawn(Loop::generate(all.clone()));
        all.over.notified().await;
        generator.await.unwrap();
        self.verify(&all, clock.stop());
    }

    fn verify(&self, all: &Loop, times: (i64, i64)) {
        let (mut runs, mut ids, mut expected, mut early) = (0, 0, 0, 0);
        for (i, (request, arrival)) in all.requests.iter().zip(self.table.iter()).enumerate() {
            let (id, ran) = (i as i64 + 1, request.runs.load(SeqCst));
            runs += ran;
            ids += id * ran;
            expected += id;
            let order = [&request.injected, &request.started, &request.ended].map(|at| at.load(SeqCst));
            early += i64::from(order[0] < arrival.at || order[1] < order[0] || order[2] < order[1]);
        }
        check("requests", all.requests.len() as i64, runs);
        check("sum_of_ids", expected, ids);
        check("before_their_time", 0, early);
        let most = all.most.load(SeqCst);
        if most > self.backlog {
            let why = format!("{} requests at once are more than backlog={}, and this driver drops none", most, self.backlog);
            end("fail", why);
        }
        self.report(all, most);
        done(times, all.requests.len() as i64);
    }

    fn report(&self, all: &Loop, most: i64) {
        let (last, work) = (self.table[self.table.len() - 1].at + 1, self.table.iter().map(|a| a.service).sum::<i64>());
        metric("offered_load", work as f64 / last as f64, "1", "none");
        metric("backlog_max", most as f64, "1", "lower");
        type Of = fn(&Request, &Arrival) -> i64;
        let series: [(&str, Of); 6] = [
            ("lag", |r, _| r.lag.load(SeqCst)),
            ("injection", |r, a| r.injected.load(SeqCst) - a.at),
            ("queueing", |r, a| r.started.load(SeqCst) - a.at),
            ("service", |r, _| r.ended.load(SeqCst) - r.started.load(SeqCst)),
            ("response", |r, a| r.ended.load(SeqCst) - a.at),
            ("slowdown", |r, a| (r.ended.load(SeqCst) - a.at) * 1000 / a.service),
        ];
        for (name, of) in series {
            let rows = all.requests.iter().zip(self.table.iter()).skip(self.skip);
            let mut values: Vec<i64> = rows.map(|(request, arrival)| of(request, arrival)).collect();
            if self.series == "all" || self.series == name {
                samples(name, if name == "slowdown" { "1/1000" } else { "ns" }, &values);
            }
            values.sort_unstable();
            self.metrics(name, &values);
        }
    }

    fn metrics(&self, name: &str, sorted: &[i64]) {
        let many = sorted.len() as f64;
        if name == "response" {
            let missed = sorted.iter().filter(|response| **response > self.deadline).count();
            metric("deadline_missed", missed as f64 / many, "1", "lower");
        }
        if name != "service" && name != "slowdown" {
            metric(&format!("{}_mean_ns", name), sorted.iter().sum::<i64>() as f64 / many, "ns", "lower");
        }
        for (label, q) in [("p50", 0.5f64), ("p99", 0.99), ("p999", 0.999)] {
            let wanted = name == "response" || name == "slowdown" || (label == "p99" && (name == "queueing" || name == "lag"));
            if wanted && many >= 0.025f64.ln() / q.ln() {
                let value = sorted[(q * many - 1e-9).ceil() as usize - 1] as f64;
                if name == "slowdown" {
                    metric(&format!("{}_{}", name, label), value / 1000.0, "1", "lower");
                } else {
                    metric(&format!("{}_{}_ns", name, label), value, "ns", "lower");
                }
            }
        }
    }
}
