// SPDX-License-Identifier: MIT

// The workload chunked_sum.
package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

type slice struct {
	numbers        []int64
	rounds, sample int64
	expected       int64
	total, yields  int64
}

type chunkedSum struct {
	slices []slice
	rounds int64
	early  int64
}

func (*chunkedSum) knows() knows {
	return knows{"items": nil, "tasks": nil, "chunk": nil, "pause": nil, "tail": nil, "data": nil,
		"kernel": nil, "preset": nil, "sample": nil, "input": "", "walk": "0"}
}

func (w *chunkedSum) setup(r *run) {
	numbers := make([]int64, r.whole["items"])
	seed := r.seed
	for i := range numbers {
		if r.text["data"] == "index" {
			numbers[i] = int64(i)
		} else {
			numbers[i] = int64(int32(splitmix64(&seed) >> 32))
		}
	}
	chunk, sample := r.whole["chunk"], r.whole["sample"]
	for i := int64(0); i < r.whole["tasks"]; i++ {
		length := share(r.whole["items"], r.whole["tasks"], i)
		s := slice{numbers: numbers[:length], rounds: (length + chunk - 1) / chunk}
		if r.whole["tail"] == 1 {
			s.rounds = length/chunk + 1
		}
		if sample > 0 {
			s.sample = sample - w.rounds%sample
		}
		for _, v := range s.numbers {
			s.expected += v
		}
		numbers = numbers[length:]
		w.rounds += s.rounds
		w.slices = append(w.slices, s)
	}
}

//go:noinline
func sumOverlap(numbers []int64) (total int64) {
	var a, b, c, d int64
	for ; len(numbers) >= 8; numbers = numbers[8:] {
		a += numbers[0] + numbers[1]
		b += numbers[2] + numbers[3]
		c += numbers[4] + numbers[5]
		d += numbers[6] + numbers[7]
	}
	return a + b + c + d + sumScalar(numbers)
}

//go:noinline
func sumScalar(numbers []int64) (total int64) {
	for _, v := range numbers {
		total += v
	}
	return
}

func (w *chunkedSum) iterate(r *run) {
	delay, completion := r.recorder("resume_delay"), r.recorder("completion")
	var all sync.WaitGroup
	w.early = 0
	r.begin()
	started := now()
	all.Add(len(w.slices))
	for i := range w.slices {
		go func(i int64) {
			w.part(r, &w.slices[i], i, delay)
			completion.record(i, now()-started)
			all.Done()
		}(int64(i))
	}
	all.Wait()
	r.end()
}

func (w *chunkedSum) part(r *run, s *slice, task int64, delay *series) {
	chunk, pause, every := int(r.whole["chunk"]), r.whole["pause"], r.whole["sample"]
	rest, in, total, sum := s.numbers, s.sample, int64(0), sumOverlap
	if r.text["kernel"] == "scalar" {
		sum = sumScalar
	}
	for round := int64(0); round < s.rounds; round++ {
		n := chunk
		if n > len(rest) {
			n = len(rest)
		}
		total += sum(rest[:n])
		rest = rest[n:]
		in--
		record := in == 0
		if record {
			in = every
		}
		if pause > 0 {
			due := now() + pause
			time.Sleep(time.Duration(pause))
			late := now() - due
			if late < 0 {
				atomic.AddInt64(&w.early, 1)
			}
			if record {
				delay.record(task, late)
			}
		} else if record {
			before := now()
			runtime.Gosched()
			delay.record(task, now()-before)
		} else {
			runtime.Gosched()
		}
	}
	s.total, s.yields = total, s.rounds
}

func (w *chunkedSum) verify(r *run) {
	var expected, total, right, yields int64
	for i, s := range w.slices {
		expected += s.expected
		total += s.total
		if s.total == s.expected {
			right++
		}
		if s.yields == s.rounds {
			yields++
		}
		if len(w.slices) <= 4 {
			r.check("sum_"+string(rune('A'+i)), s.expected, s.total)
		}
	}
	tasks := int64(len(w.slices))
	r.check("total", expected, total)
	r.check("tasks_with_the_right_sum", tasks, right)
	r.check("tasks_with_the_right_yields", tasks, yields)
	if r.whole["pause"] > 0 {
		r.check("wakes_before_their_deadline", 0, w.early)
	}
	r.operations = w.rounds
	items := float64(r.whole["items"])
	r.metric("elements", items, "1", "none")
	r.metric("elements_per_s", items*1e9/float64(r.ended-r.began), "1/s", "higher")
}
