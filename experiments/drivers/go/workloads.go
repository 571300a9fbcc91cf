// SPDX-License-Identifier: MIT

// The list of the workloads, and the short ones: yield, spawn_join, timers, ring, skynet.
package main

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var workloads = map[string]func() workload{
	"chunked_sum": func() workload { return &chunkedSum{} },
	"yield":       func() workload { return &yield{} },
	"spawn_join":  func() workload { return &spawnJoin{} },
	"timers":      func() workload { return &timers{} },
	"ring":        func() workload { return &ring{} },
	"skynet":      func() workload { return &skynet{} },
	"openloop":    func() workload { return &openloop{} },
}

// ---- yield

type yield struct{ made int64 }

func (*yield) knows() knows {
	return knows{"tasks": nil, "switches": nil, "sample": nil, "sites": "1", "depth": "0"}
}
func (*yield) setup(*run) {}

func (w *yield) iterate(r *run) {
	turnaround := r.recorder("turnaround")
	tasks, sample := r.whole["tasks"], r.whole["sample"]
	var all sync.WaitGroup
	w.made = 0
	r.begin()
	all.Add(int(tasks))
	for i := int64(0); i < tasks; i++ {
		go func(task, count int64) {
			left := count
			for sample > 0 && left >= sample {
				before := now()
				runtime.Gosched()
				turnaround.record(task, now()-before)
				for k := int64(1); k < sample; k++ {
					runtime.Gosched()
				}
				left -= sample
			}
			for ; left > 0; left-- {
				runtime.Gosched()
			}
			atomic.AddInt64(&w.made, count)
			all.Done()
		}(i, share(r.whole["switches"], tasks, i))
	}
	all.Wait()
	r.end()
}

func (w *yield) verify(r *run) {
	r.check("yields", r.whole["switches"], w.made)
	r.operations = r.whole["switches"]
}

// ---- spawn_join

type spawnJoin struct{ joined, sum int64 }

func (*spawnJoin) knows() knows { return knows{"tasks": nil, "alive": nil, "sample": nil} }
func (*spawnJoin) setup(*run)   {}

func (w *spawnJoin) iterate(r *run) {
	delay := r.recorder("start_delay")
	tasks, alive, sample := r.whole["tasks"], r.whole["alive"], r.whole["sample"]
	perSample := sample / alive
	if perSample < 1 {
		perSample = 1
	}
	results := make([]int64, alive)
	w.joined, w.sum = 0, 0
	var all sync.WaitGroup
	r.begin()
	for first, batch := int64(1), int64(0); first <= tasks; first, batch = first+alive, batch+1 {
		count := alive
		if left := tasks + 1 - first; left < count {
			count = left
		}
		timed := int64(-1)
		if sample > 0 && batch%perSample == 0 {
			timed = batch / perSample % count
		}
		all.Add(int(count))
		for i := int64(0); i < count; i++ {
			if i == timed {
				go func(i, spawned int64) {
					delay.record(i, now()-spawned)
					results[i] = first + i
					all.Done()
				}(i, now())
				continue
			}
			go func(i int64) {
				results[i] = first + i
				all.Done()
			}(i)
		}
		all.Wait()
		for _, result := range results[:count] {
			w.sum += result
		}
		w.joined += count
	}
	r.end()
}

func (w *spawnJoin) verify(r *run) {
	n := r.whole["tasks"]
	expected := n / 2 * (n + 1)
	if n%2 == 1 {
		expected = (n + 1) / 2 * n
	}
	r.check("tasks_joined", n, w.joined)
	r.check("sum_of_results", expected, w.sum)
	r.operations = n
}

// ---- timers

type timers struct {
	done, early, asked, answered, cancelled int64
	cancelBelow                             uint64
	requests                                chan chan struct{}
}

func (*timers) knows() knows {
	return knows{"tasks": nil, "sleeps": nil, "period": nil, "mode": nil, "spread": nil, "cancel": nil,
		"sample": nil, "skip": nil, "busy": "0"}
}

func (w *timers) setup(r *run) {
	w.cancelBelow = uint64(r.real["cancel"] * (1 << 53))
}

func (w *timers) iterate(r *run) {
	lateness := r.recorder("lateness")
	w.done, w.early, w.asked, w.answered, w.cancelled = 0, 0, 0, 0, 0
	w.requests = make(chan chan struct{}, r.whole["tasks"])
	var all, server sync.WaitGroup
	r.begin()
	server.Add(1)
	go func() {
		for answer := range w.requests {
			w.answered++
			answer <- struct{}{}
		}
		server.Done()
	}()
	all.Add(int(r.whole["tasks"]))
	for i := int64(0); i < r.whole["tasks"]; i++ {
		go func(i int64) {
			w.sleeper(r, i, r.seed+uint64(i)*0x632be59bd9b4e019, lateness)
			all.Done()
		}(i)
	}
	all.Wait()
	close(w.requests)
	server.Wait()
	r.end()
}

func (w *timers) sleeper(r *run, task int64, state uint64, lateness *series) {
	period, spread := r.whole["period"], r.whole["spread"]
	sample, skip, random := r.whole["sample"], r.whole["skip"], r.text["mode"] == "random"
	answer := make(chan struct{}, 1)
	for index := int64(0); index < r.whole["sleeps"]; index++ {
		length, due := period, now()
		if random {
			high, _ := bits.Mul64(splitmix64(&state), uint64(2*spread+1))
			length += int64(high) - spread
		}
		due += length
		fired := true
		if w.cancelBelow > 0 && splitmix64(&state)>>11 < w.cancelBelow {
			fired = w.request(answer, length)
		} else {
			time.Sleep(time.Duration(length))
		}
		if fired {
			late := now() - due
			if late < 0 {
				atomic.AddInt64(&w.early, 1)
			}
			if sample > 0 && index >= skip && index%sample == 0 {
				lateness.record(task, late)
			}
		}
		atomic.AddInt64(&w.done, 1)
	}
}

// request asks the server and waits for its answer or the timeout; true if the timeout came first.
func (w *timers) request(answer chan struct{}, length int64) bool {
	atomic.AddInt64(&w.asked, 1)
	timeout := time.NewTimer(time.Duration(length))
	w.requests <- answer
	select {
	case <-answer:
		timeout.Stop()
		atomic.AddInt64(&w.cancelled, 1)
		return false
	case <-timeout.C:
		<-answer
		return true
	}
}

func (w *timers) verify(r *run) {
	waits := r.whole["tasks"] * r.whole["sleeps"]
	r.check("waits", waits, w.done)
	r.check("wakes_before_their_deadline", 0, w.early)
	r.check("answers", w.asked, w.answered)
	r.operations = waits
	if w.asked > 0 {
		r.metric("cancelled_of_requests", float64(w.cancelled)/float64(w.asked), "1", "none")
	}
	r.metric("cpu_ns_per_timer", float64(r.cpuEnded-r.cpuBegan)/float64(waits), "ns", "lower")
}

// ---- ring

type ring struct{ made, wrong int64 }

func (*ring) knows() knows {
	return knows{"tasks": nil, "hops": nil, "over": "semaphore", "sample": nil}
}
func (*ring) setup(*run) {}

func (w *ring) iterate(r *run) {
	n, hops := r.whole["tasks"], r.whole["hops"]
	places := make([]chan int64, n)
	for i := range places {
		places[i] = make(chan int64, 1)
	}
	lap := r.recorder("lap")
	var all, ready sync.WaitGroup
	w.made, w.wrong = 0, 0
	all.Add(int(n))
	ready.Add(int(n))
	for i := int64(0); i < n; i++ {
		go func(i int64) {
			ready.Done()
			w.member(r, i, places[i], places[(i+1)%n], lap)
			all.Done()
		}(i)
	}
	ready.Wait()
	r.begin()
	places[0] <- 0
	all.Wait()
	r.end()
	r.operations = hops
}

func (w *ring) member(r *run, index int64, mine, next chan int64, lap *series) {
	n, hops, sample := r.whole["tasks"], r.whole["hops"], r.whole["sample"]
	perSample := sample / n
	lapIn, since := int64(-1), int64(0)
	if sample > 0 && index == 0 {
		lapIn = 1
	}
	rounds := share(hops, n, index)
	for round := int64(0); round < rounds; round++ {
		token := <-mine
		if token != round*n+index {
			atomic.AddInt64(&w.wrong, 1)
		}
		if lapIn--; lapIn == 0 {
			at := now()
			lapIn = 1
			if since > 0 {
				lap.record(index, at-since)
			}
			if since > 0 && perSample > 1 {
				lapIn, since = perSample-1, 0
			} else {
				since = at
			}
		}
		if token+1 < hops {
			next <- token + 1
		}
	}
	atomic.AddInt64(&w.made, rounds)
}

func (w *ring) verify(r *run) {
	r.check("hops", r.whole["hops"], w.made)
	r.check("tokens_out_of_sequence", 0, w.wrong)
}

// ---- skynet

type skynet struct {
	sum, width, perSample int64
	timed                 bool
	delay                 *series
}

func (*skynet) knows() knows { return knows{"leaves": nil, "width": nil, "sample": nil} }

func (w *skynet) setup(r *run) {
	w.width = r.whole["width"]
	w.timed = r.whole["sample"] > 0
	if w.perSample = r.whole["sample"] / w.width; w.perSample < 1 {
		w.perSample = 1
	}
}

func (w *skynet) iterate(r *run) {
	w.delay = r.recorder("start_delay")
	answer := make(chan int64)
	r.begin()
	go w.node(answer, 0, r.whole["leaves"], 0)
	w.sum = <-answer
	r.end()
}

func (w *skynet) node(answer chan int64, first, size, spawned int64) {
	if size == 1 {
		if spawned > 0 {
			w.delay.record(first, now()-spawned)
		}
		answer <- first
		return
	}
	size /= w.width
	children := make(chan int64)
	for i := int64(0); i < w.width; i++ {
		at := int64(0)
		if i == 0 && size == 1 && w.timed && first/w.width%w.perSample == 0 {
			at = now()
		}
		go w.node(children, first+i*size, size, at)
	}
	total := int64(0)
	for i := int64(0); i < w.width; i++ {
		total += <-children
	}
	answer <- total
}

func (w *skynet) verify(r *run) {
	n := r.whole["leaves"]
	expected := n / 2 * (n - 1)
	if n%2 == 1 {
		expected = (n - 1) / 2 * n
	}
	r.check("sum_of_leaves", expected, w.sum)
	r.operations = n
}
