// SPDX-License-Identifier: MIT

//! The workload chunked_sum: tasks add up slices of an array, and yield or sleep after each chunk.

use crate::{check, done, metric, samples, share, splitmix64, told, Asked, Clock, Kept};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
struct Slice {
    first: usize,
    length: usize,
    rounds: i64,
    sample: i64, // the round that is timed, counted from 1; 0: none
    expected: i64,
}

struct Part {
    completion: i64,
    total: i64,
    yields: i64,
    early: i64,
}

#[derive(Clone, Copy)]
struct Way {
    chunk: usize,
    every: i64,
    pause: Duration,
    sum: fn(&[i64]) -> i64,
}

/// As the compiler makes it of the language's own words: LLVM unrolls it and adds in vectors.
#[inline(never)]
fn sum_overlap(numbers: &[i64]) -> i64 {
    numbers.iter().fold(0, |sum: i64, number| sum.wrapping_add(*number))
}

#[inline(never)]
fn sum_scalar(numbers: &[i64]) -> i64 {
    let mut sum: i64 = 0;
    for number in numbers {
        sum = sum.wrapping_add(*number);
        // Sound: no instruction; the sum must be in a register here, so it is not vectorised.
        unsafe { core::arch::asm!("/* {0} */", inout(reg) sum) };
    }
    sum
}

fn numbers_of(asked: &Asked) -> Vec<i64> {
    let (items, index) = (asked.whole("items"), asked.text("data") == "index");
    let mut seed = asked.seed;
    (0..items)
        .map(|i| if index { i } else { i64::from((splitmix64(&mut seed) >> 32) as i32) })
        .collect()
}

fn slices_of(asked: &Asked, numbers: &[i64]) -> Vec<Slice> {
    let (tasks, chunk, every) = (asked.whole("tasks"), asked.whole("chunk"), asked.whole("sample"));
    let (mut first, mut rounds) = (0, 0);
    let mut slices = Vec::new();
    for i in 0..tasks {
        let length = share(numbers.len() as i64, tasks, i);
        let mut own = (length + chunk - 1) / chunk;
        if asked.whole("tail") == 1 {
            own = length / chunk + 1;
        }
        let part = &numbers[first..first + length as usize];
        slices.push(Slice {
            first,
            length: length as usize,
            rounds: own,
            sample: if every > 0 { every - rounds % every } else { 0 },
            expected: part.iter().fold(0, |sum: i64, number| sum.wrapping_add(*number)),
        });
        first += length as usize;
        rounds += own;
    }
    slices
}

async fn part(numbers: Arc<Vec<i64>>, of: Slice, way: Way, delay: Kept, began: Instant) -> Part {
    let own = &numbers[of.first..of.first + of.length];
    let mut found = Part { completion: 0, total: 0, yields: 0, early: 0 };
    let mut timed = Vec::new();
    let (mut at, mut until) = (0, of.sample);
    for _ in 0..of.rounds {
        let stop = own.len().min(at + way.chunk);
        found.total = found.total.wrapping_add((way.sum)(&own[at..stop]));
        at = stop;
        until -= 1;
        let sampled = until == 0;
        if sampled {
            until = way.every;
        }
        if !way.pause.is_zero() {
            let due = Instant::now() + way.pause;
            tokio::time::sleep(way.pause).await;
            let now = Instant::now();
            found.early += i64::from(now < due);
            if sampled {
                timed.push(now.saturating_duration_since(due).as_nanos() as i64);
            }
        } else if sampled {
            let before = Instant::now();
            tokio::task::yield_now().await;
            timed.push(before.elapsed().as_nanos() as i64);
        } else {
            tokio::task::yield_now().await;
        }
        found.yields += 1;
    }
    if !timed.is_empty() {
        delay.lock().unwrap().append(&mut timed);
    }
    found.completion = began.elapsed().as_nanos() as i64;
    found
}

pub struct ChunkedSum {
    numbers: Arc<Vec<i64>>,
    slices: Vec<Slice>,
    way: Way,
    delay: Kept,
}

impl ChunkedSum {
    pub fn new(asked: &Asked) -> ChunkedSum {
        let numbers = numbers_of(asked);
        let slices = slices_of(asked, &numbers);
        let scalar = asked.text("kernel") == "scalar";
        ChunkedSum {
            numbers: Arc::new(numbers),
            slices,
            way: Way {
                chunk: asked.whole("chunk") as usize,
                every: asked.whole("sample"),
                pause: Duration::from_nanos(asked.whole("pause") as u64),
                sum: if scalar { sum_scalar } else { sum_overlap },
            },
            delay: Kept::default(),
        }
    }

    pub async fn iterate(&self) {
        let clock = Clock::start();
        let mut handles = Vec::with_capacity(self.slices.len());
        for of in &self.slices {
            let (numbers, delay) = (self.numbers.clone(), self.delay.clone());
            handles.push(tokio::spawn(part(numbers, *of, self.way, delay, clock.began)));
        }
        let mut parts = Vec::with_capacity(handles.len());
        for handle in handles {
            parts.push(handle.await.unwrap());
        }
        let times = clock.stop();
        self.verify(&parts, times);
    }

    fn verify(&self, parts: &[Part], times: (i64, i64)) {
        let (mut expected, mut total, mut right, mut yields, mut rounds, mut early) =
            (0i64, 0i64, 0, 0, 0, 0);
        for (i, (of, part)) in self.slices.iter().zip(parts).enumerate() {
            expected = expected.wrapping_add(of.expected);
            total = total.wrapping_add(part.total);
            right += i64::from(of.expected == part.total);
            yields += i64::from(of.rounds == part.yields);
            rounds += of.rounds;
            early += part.early;
            if self.slices.len() <= 4 {
                let letter = char::from(b'A' + i as u8);
                check(&format!("sum_{}", letter), of.expected, part.total);
            }
        }
        let tasks = self.slices.len() as i64;
        check("total", expected, total);
        check("tasks_with_the_right_sum", tasks, right);
        check("tasks_with_the_right_yields", tasks, yields);
        if !self.way.pause.is_zero() {
            check("wakes_before_their_deadline", 0, early);
        }
        let items = self.numbers.len() as f64;
        metric("elements", items, "1", "none");
        metric("elements_per_s", items * 1e9 / times.0 as f64, "1/s", "higher");
        told("resume_delay", &self.delay);
        samples("completion", "ns", &parts.iter().map(|part| part.completion).collect::<Vec<i64>>());
        done(times, rounds);
    }
}
