// SPDX-License-Identifier: MIT

// One run: what is asked for, the iterations, and what they say.
package main

import (
	"encoding/json"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// question is what `shunt record` asks.
type question struct {
	Workload   string
	Params     map[string]interface{}
	Settings   map[string]string
	Seed       string
	Iterations int
}

// knows are the parameters that a workload reads and, where it has one value only, that value.
type knows map[string]interface{}

// A workload is made once a run; setup is not timed, iterate times its own region.
type workload interface {
	knows() knows
	setup(r *run)
	iterate(r *run)
	verify(r *run)
}

type run struct {
	*question
	seed               uint64
	whole              map[string]int64
	real               map[string]float64
	text               map[string]string
	operations         int64
	kept               map[string]*series
	began, ended       int64
	cpuBegan, cpuEnded int64
}

func newRun(asked *question) *run {
	r := &run{question: asked, whole: map[string]int64{}, real: map[string]float64{},
		text: map[string]string{}, kept: map[string]*series{}}
	r.seed, _ = strconv.ParseUint(asked.Seed, 10, 64)
	for name, value := range asked.Params {
		switch value := value.(type) {
		case json.Number:
			r.whole[name], _ = value.Int64()
			r.real[name], _ = value.Float64()
			r.text[name] = value.String()
		case string:
			r.text[name] = value
		}
	}
	return r
}

var base = time.Now()

// now is the monotonic clock in nanoseconds.
func now() int64 { return int64(time.Since(base)) }

func cpuTime() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func (r *run) begin() { r.cpuBegan, r.began = cpuTime(), now() }
func (r *run) end()   { r.ended, r.cpuEnded = now(), cpuTime() }

func (r *run) check(name string, expected, actual int64) {
	say("check", object{"name": name, "expected": expected, "actual": actual})
}

func (r *run) metric(name string, value float64, unit, better string) {
	say("metric", object{"name": name, "value": value, "unit": unit, "better": better})
}

// recorder is where an iteration's samples go.
func (r *run) recorder(name string) *series {
	if r.kept[name] == nil {
		r.kept[name] = &series{unit: "ns"}
	}
	return r.kept[name]
}

func perform(r *run, w workload) {
	known := w.knows()
	known["form"] = "stack" // the default: goroutines are the one kind of tasks here
	for name, value := range r.text {
		only, there := known[name]
		if !there || (only != nil && only != value) {
			end("skip", "%s=%s is not to be had from this driver", name, value)
		}
	}
	w.setup(r)
	say("program", object{"build_id": buildID, "composition": map[string]string{
		"workers": strconv.Itoa(runtime.GOMAXPROCS(0)), "runtime": runtime.Version()}})
	for number := 1; number <= r.Iterations; number++ {
		say("begin", number)
		w.iterate(r)
		w.verify(r)
		for name, s := range r.kept {
			s.tell(name)
		}
		say("end", object{"wall_ns": r.ended - r.began, "cpu_ns": r.cpuEnded - r.cpuBegan,
			"ops": r.operations})
	}
}

const shards = 64

// series are samples, in shards so that recording tasks do not meet.
type series struct {
	shard [shards]struct {
		sync.Mutex
		values []int64
		_      [64]byte
	}
	unit string
}

func (s *series) record(task, value int64) {
	h := &s.shard[task%shards]
	h.Lock()
	h.values = append(h.values, value)
	h.Unlock()
}

// tell sends the samples, and forgets them.
func (s *series) tell(name string) {
	const most = 20000 // a line
	for i := range s.shard {
		h := &s.shard[i]
		for rest := h.values; len(rest) > 0; {
			n := len(rest)
			if n > most {
				n = most
			}
			say("samples", object{"name": name, "unit": s.unit, "values": rest[:n]})
			rest = rest[n:]
		}
		h.values = h.values[:0]
	}
}

// splitmix64 steps the state and returns a number: core/rng.h.
func splitmix64(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	z := *state
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// share is the index-th part when total is divided as evenly as can be, larger parts first.
func share(total, parts, index int64) int64 {
	if index < total%parts {
		return total/parts + 1
	}
	return total / parts
}
