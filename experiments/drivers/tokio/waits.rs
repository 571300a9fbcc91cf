// SPDX-License-Identifier: MIT

//! The workloads whose tasks wait: timers, ring, skynet. A timer is tokio's, which counts in milliseconds; the
//! token of a ring goes through a channel of one place; a tree's node awaits the handles of its children.

use crate::{check, done, metric, share, splitmix64, told, Asked, Clock, Kept};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

// ---- timers -------------------------------------------------------------------------------------

const STRIDE: u64 = 0x632b_e59b_d9b4_e019;

type Request = oneshot::Sender<()>;

#[derive(Clone, Copy)]
struct Sleeps {
    sleeps: i64,
    period: i64,
    spread: i64,
    random: bool,
    cancel_below: u64,
    sample: i64,
    skip: i64,
}

#[derive(Default)]
struct Slept {
    done: i64,
    early: i64,
    asked: i64,
    cancelled: i64,
    late: Vec<i64>,
}

impl Slept {
    fn note(&mut self, of: &Sleeps, index: i64, due: Instant) {
        let now = Instant::now();
        self.early += i64::from(now < due);
        if of.sample > 0 && index >= of.skip && index % of.sample == 0 {
            self.late.push(now.saturating_duration_since(due).as_nanos() as i64);
        }
    }
}

async fn sleeper(of: Sleeps, mut state: u64, server: mpsc::UnboundedSender<Request>) -> Slept {
    let mut found = Slept::default();
    for index in 0..of.sleeps {
        let mut length = of.period;
        if of.random {
            let width = 2 * of.spread as u128 + 1;
            length += ((u128::from(splitmix64(&mut state)) * width) >> 64) as i64 - of.spread;
        }
        let length = Duration::from_nanos(length as u64);
        let due = Instant::now() + length;
        if of.cancel_below > 0 && splitmix64(&mut state) >> 11 < of.cancel_below {
            // A request with a timeout, answered at once by the server.
            let (answer, mut answered) = oneshot::channel();
            found.asked += 1;
            server.send(answer).unwrap();
            if tokio::time::timeout(length, &mut answered).await.is_ok() {
                found.cancelled += 1;
            } else {
                found.note(&of, index, due);
                answered.await.unwrap();
            }
        } else {
            tokio::time::sleep(length).await;
            found.note(&of, index, due);
        }
        found.done += 1;
    }
    found
}

pub struct Timers {
    tasks: i64,
    seed: u64,
    of: Sleeps,
}

impl Timers {
    pub fn new(asked: &Asked) -> Timers {
        Timers {
            tasks: asked.whole("tasks"),
            seed: asked.seed,
            of: Sleeps {
                sleeps: asked.whole("sleeps"),
                period: asked.whole("period"),
                spread: asked.whole("spread"),
                random: asked.text("mode") == "random",
                cancel_below: (asked.real("cancel") * (1u64 << 53) as f64) as u64,
                sample: asked.whole("sample"),
                skip: asked.whole("skip"),
            },
        }
    }

    pub async fn iterate(&self) {
        let (server, mut requests) = mpsc::unbounded_channel::<Request>();
        let clock = Clock::start();
        let serve = tokio::spawn(async move {
            let mut answered = 0;
            while let Some(answer) = requests.recv().await {
                answered += i64::from(answer.send(()).is_ok());
            }
            answered
        });
        let mut handles = Vec::with_capacity(self.tasks as usize);
        for i in 0..self.tasks as u64 {
            let state = self.seed.wrapping_add(i.wrapping_mul(STRIDE));
            handles.push(tokio::spawn(sleeper(self.of, state, server.clone())));
        }
        drop(server);
        let mut all = Slept::default();
        for handle in handles {
            let mut one = handle.await.unwrap();
            all.done += one.done;
            all.early += one.early;
            all.asked += one.asked;
            all.cancelled += one.cancelled;
            all.late.append(&mut one.late);
        }
        let answered = serve.await.unwrap();
        let times = clock.stop();
        let waits = self.tasks * self.of.sleeps;
        check("waits", waits, all.done);
        check("wakes_before_their_deadline", 0, all.early);
        check("answers", all.asked, answered);
        if all.asked > 0 {
            metric("cancelled_of_requests", all.cancelled as f64 / all.asked as f64, "1", "none");
        }
        metric("cpu_ns_per_timer", times.1 as f64 / waits as f64, "ns", "lower");
        crate::samples("lateness", "ns", &all.late);
        done(times, waits);
    }
}

// ---- ring ---------------------------------------------------------------------------------------

pub struct Ring {
    tasks: i64,
    hops: i64,
    sample: i64,
    lap: Kept,
}

struct Member {
    index: i64,
    rounds: i64,
    mine: mpsc::Receiver<i64>,
    next: mpsc::Sender<i64>,
    ready: Arc<AtomicI64>,
}

impl Ring {
    pub fn new(asked: &Asked) -> Ring {
        Ring {
            tasks: asked.whole("tasks"),
            hops: asked.whole("hops"),
            sample: asked.whole("sample"),
            lap: Kept::default(),
        }
    }

    /// Passes the token on; how many were not the next number.
    async fn member(mut own: Member, tasks: i64, hops: i64, sample: i64, lap: Kept) -> (i64, i64) {
        let apart = (sample / tasks).max(1);
        let (mut until, mut since) = (if sample > 0 && own.index == 0 { 1 } else { -1 }, None);
        let (mut made, mut wrong, mut laps) = (0, 0, Vec::new());
        own.ready.fetch_add(1, Relaxed);
        while made < own.rounds {
            let token = own.mine.recv().await.unwrap();
            wrong += i64::from(token != made * tasks + own.index);
            made += 1;
            until -= 1;
            if until == 0 {
                let now = Instant::now();
                until = 1;
                since = match since.take() {
                    Some(before) => {
                        laps.push(now.duration_since(before).as_nanos() as i64);
                        until = (apart - 1).max(1);
                        (apart == 1).then(|| now)
                    }
                    None => Some(now),
                };
            }
            if token + 1 < hops {
                own.next.send(token + 1).await.unwrap();
            }
        }
        lap.lock().unwrap().append(&mut laps);
        (made, wrong)
    }

    pub async fn iterate(&self) {
        let (places, mut mine): (Vec<_>, Vec<_>) = (0..self.tasks).map(|_| mpsc::channel(1)).unzip();
        let ready = Arc::new(AtomicI64::new(0));
        let mut handles = Vec::with_capacity(self.tasks as usize);
        for (index, mine) in mine.drain(..).enumerate() {
            let own = Member {
                index: index as i64,
                rounds: share(self.hops, self.tasks, index as i64),
                mine,
                next: places[(index + 1) % places.len()].clone(),
                ready: ready.clone(),
            };
            handles.push(tokio::spawn(Ring::member(own, self.tasks, self.hops, self.sample, self.lap.clone())));
        }
        while ready.load(Relaxed) < self.tasks {
            tokio::task::yield_now().await;
        }
        let clock = Clock::start();
        places[0].send(0).await.unwrap();
        let (mut made, mut wrong) = (0, 0);
        for handle in handles {
            let found = handle.await.unwrap();
            made += found.0;
            wrong += found.1;
        }
        let times = clock.stop();
        check("hops", self.hops, made);
        check("tokens_out_of_sequence", 0, wrong);
        told("lap", &self.lap);
        done(times, self.hops);
    }
}

// ---- skynet -------------------------------------------------------------------------------------

#[derive(Clone)]
struct Tree {
    width: i64,
    apart: i64, // of the parents of leaves, one in so many times a child; 0: none does
    delay: Kept,
}

/// The sum of the leaves from `first` on.
fn node(of: Tree, first: i64, size: i64, spawned: Option<Instant>) -> Pin<Box<dyn Future<Output = i64> + Send>> {
    Box::pin(async move {
        if size == 1 {
            if let Some(spawned) = spawned {
                of.delay.lock().unwrap().push(spawned.elapsed().as_nanos() as i64);
            }
            return first;
        }
        let part = size / of.width;
        let is_timed = part == 1 && of.apart > 0 && first / of.width % of.apart == 0;
        let mut children = Vec::with_capacity(of.width as usize);
        for i in 0..of.width {
            let at = (i == 0 && is_timed).then(Instant::now);
            children.push(tokio::spawn(node(of.clone(), first + i * part, part, at)));
        }
        let mut total = 0;
        for child in children {
            total += child.await.unwrap();
        }
        total
    })
}

pub struct Skynet {
    leaves: i64,
    of: Tree,
}

impl Skynet {
    pub fn new(asked: &Asked) -> Skynet {
        let (width, sample) = (asked.whole("width"), asked.whole("sample"));
        let apart = if sample > 0 { (sample / width).max(1) } else { 0 };
        Skynet { leaves: asked.whole("leaves"), of: Tree { width, apart, delay: Kept::default() } }
    }

    pub async fn iterate(&self) {
        let clock = Clock::start();
        let sum = tokio::spawn(node(self.of.clone(), 0, self.leaves, None)).await.unwrap();
        let times = clock.stop();
        check("sum_of_leaves", self.leaves * (self.leaves - 1) / 2, sum);
        told("start_delay", &self.of.delay);
        done(times, self.leaves);
    }
}
