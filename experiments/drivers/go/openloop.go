// SPDX-License-Identifier: MIT

// openloop: requests of an arrival table, each a goroutine; latency from the intended arrival.
//
// As workloads/openloop.c with injection=timer, in what it measures and how: a goroutine starts what is
// due and sleeps until shortly before the next arrival, then gives way until it; the end of a request
// starts what is due, too. Service is calibrated arithmetic. It has no slices, faults or traces of
// arrivals, and no bound on the backlog: the runtime preempts by itself.
package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// From so long before an arrival on, the generator does not trust a sleep, which ends up to 1 ms late.
const nearNs = 1500000

const leadNs = 200000

type arrival struct{ at, service, class uint64 }

type request struct {
	w                                  *openloop
	number                             int
	injected, lag, started, ended, ran int64
}

type openloop struct {
	requests []request
	arrivals []arrival
	workers  int64
	start    int64

	lock          sync.Mutex // of the injector
	next          int        // guarded by it
	due           int64      // atomic: math.MaxInt64 when all have arrived
	chance        int64      // atomic: when a request last ended
	inside, most  int64
	all           sync.WaitGroup
	roundsPerMega int64
}

func (*openloop) knows() knows {
	return knows{"requests": nil, "process": nil, "load": nil, "rate": nil, "service": nil, "mean": nil,
		"sigma": nil, "deadline": nil, "steer": nil, "backlog": nil, "skip": nil, "series": nil,
		"stall_at": nil, "injection": "timer", "input": "", "slice": "0", "block": "0", "stall": "0"}
}

// table has `shunt arrivals` print the requests of this run's parameters; their hash is a fact of the record.
func (r *run) table() []arrival {
	words := []string{"arrivals", "--seed", r.Seed, "mean=" + r.text["mean"] + "ns"}
	for _, name := range []string{"requests", "rate", "process", "service"} {
		words = append(words, name+"="+r.text[name])
	}
	if r.text["service"] == "lognormal" {
		words = append(words, "sigma="+r.text["sigma"])
	}
	out, err := exec.Command(os.Getenv("SHUNT"), words...).Output()
	made := make([]arrival, r.whole["requests"])
	hash := ""
	rest := bytes.NewReader(out)
	if err == nil {
		_, err = fmt.Fscanf(rest, "# hash %s\n", &hash)
	}
	for i := 0; err == nil && i < len(made); i++ {
		_, err = fmt.Fscanln(rest, &made[i].at, &made[i].service, &made[i].class)
	}
	if err != nil {
		end("fail", "`shunt arrivals`: %v", err)
	}
	say("fact", object{"name": "arrivals.hash", "value": hash})
	return made
}

//go:noinline
func spin(rounds int64) (x uint64) {
	x = uint64(rounds)
	for ; rounds > 0; rounds-- {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return
}

var spun uint64 // so that nothing of spin is left out

// calibrate says how many rounds 2^20 ns take: the best of short series.
func calibrate() int64 {
	const series, rounds = 24, 20000
	best := int64(math.MaxInt64)
	for i := 0; i < series; i++ {
		begin := now()
		spun += spin(rounds)
		if took := now() - begin; took < best {
			best = took
		}
	}
	return rounds << 20 / best
}

func (w *openloop) setup(r *run) {
	w.workers = int64(runtime.GOMAXPROCS(0))
	w.arrivals = r.table()
	w.requests = make([]request, len(w.arrivals))
	w.roundsPerMega = calibrate()
}

func (w *openloop) intended(i int) int64 { return w.start + int64(w.arrivals[i].at) }

// inject starts all that are due; whoever finds it busy knows that they are being started.
func (w *openloop) inject(at int64) {
	if !w.lock.TryLock() {
		return
	}
	for w.next < len(w.arrivals) && w.intended(w.next) <= at {
		q := &w.requests[w.next]
		since := w.intended(w.next)
		if last := atomic.LoadInt64(&w.chance); last > since &&
			atomic.LoadInt64(&w.inside) >= w.workers {
			since = last
		}
		*q = request{w: w, number: w.next, injected: at}
		if since < at {
			q.lag = at - since
		}
		if inside := atomic.AddInt64(&w.inside, 1); inside > w.most {
			w.most = inside
		}
		go q.run()
		w.next++
	}
	due := int64(math.MaxInt64)
	if w.next < len(w.arrivals) {
		due = w.intended(w.next)
	}
	atomic.StoreInt64(&w.due, due)
	w.lock.Unlock()
}

func (q *request) run() {
	w := q.w
	q.started = now()
	q.ran++
	spin(int64(float64(w.arrivals[q.number].service) * float64(w.roundsPerMega) / (1 << 20)))
	q.ended = now()
	atomic.StoreInt64(&w.chance, q.ended)
	if atomic.LoadInt64(&w.due) <= q.ended {
		w.inject(q.ended)
	}
	atomic.AddInt64(&w.inside, -1)
	w.all.Done()
}

func (w *openloop) generate() {
	for {
		due := atomic.LoadInt64(&w.due)
		if due == math.MaxInt64 {
			break
		}
		at := now()
		switch {
		case at >= due:
			w.inject(at)
		case due-at > nearNs:
			time.Sleep(time.Duration(due - at - nearNs))
		default:
			runtime.Gosched()
		}
	}
	w.all.Done()
}

func (w *openloop) iterate(r *run) {
	for i := range w.requests {
		w.requests[i] = request{}
	}
	w.next, w.chance, w.inside, w.most = 0, 0, 0, 0
	w.all.Add(len(w.requests) + 1)
	r.begin()
	w.start = now() + leadNs
	w.due = w.intended(0)
	go w.generate()
	w.all.Wait()
	r.end()
}

func (w *openloop) verify(r *run) {
	var runs, ids, expected, early int64
	for i, q := range w.requests {
		id := int64(i) + 1
		runs += q.ran
		ids += id * q.ran
		expected += id
		if q.injected < w.intended(i) || q.started < q.injected || q.ended < q.started {
			early++
		}
	}
	r.check("requests", int64(len(w.requests)), runs)
	r.check("sum_of_ids", expected, ids)
	r.check("before_their_time", 0, early)
	if w.most > r.whole["backlog"] {
		end("fail", "%d requests at once are more than backlog=%d, and this driver drops none", w.most,
			r.whole["backlog"])
	}
	r.operations = int64(len(w.requests))
	w.report(r)
}

func (w *openloop) report(r *run) {
	skip := int(r.whole["skip"])
	samples := map[string][]int64{}
	for i := skip; i < len(w.requests); i++ {
		q, a := &w.requests[i], w.arrivals[i]
		response := q.ended - w.intended(i)
		for name, value := range map[string]int64{"lag": q.lag, "response": response,
			"injection": q.injected - w.intended(i), "queueing": q.started - w.intended(i),
			"service": q.ended - q.started, "slowdown": response * 1000 / int64(a.service)} {
			samples[name] = append(samples[name], value)
		}
	}
	for name, values := range samples {
		if wanted := r.text["series"]; wanted == "all" || wanted == name {
			kept := r.recorder(name)
			if name == "slowdown" {
				kept.unit = "1/1000"
			}
			for i, value := range values {
				kept.record(int64(i), value)
			}
		}
		sort.Slice(values, func(a, b int) bool { return values[a] < values[b] })
	}
	w.metrics(r, samples)
}

func (w *openloop) metrics(r *run, samples map[string][]int64) {
	last := float64(w.arrivals[len(w.arrivals)-1].at + 1)
	work, missed := 0.0, 0.0
	for _, a := range w.arrivals {
		work += float64(a.service)
	}
	for _, response := range samples["response"] {
		if response > r.whole["deadline"] {
			missed++
		}
	}
	r.metric("offered_load", work/last, "1", "none")
	r.metric("backlog_max", float64(w.most), "1", "lower")
	r.metric("deadline_missed", missed/float64(len(samples["response"])), "1", "lower")
	for _, name := range []string{"response", "queueing", "lag", "injection"} {
		sum := 0.0
		for _, value := range samples[name] {
			sum += float64(value)
		}
		r.metric(name+"_mean_ns", sum/float64(len(samples[name])), "ns", "lower")
	}
	for _, one := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}} {
		quantile(r, samples["response"], one.q, "response_"+one.name+"_ns", 1, "ns")
		quantile(r, samples["slowdown"], one.q, "slowdown_"+one.name, 1000, "1")
	}
	quantile(r, samples["queueing"], 0.99, "queueing_p99_ns", 1, "ns")
	quantile(r, samples["lag"], 0.99, "lag_p99_ns", 1, "ns")
}

// quantile of sorted values, where there are enough of them.
func quantile(r *run, sorted []int64, q float64, name string, scale float64, unit string) {
	if n := len(sorted); n > 0 && float64(n) >= math.Log(0.025)/math.Log(q) {
		at := int(math.Ceil(q*float64(n)-1e-9)) - 1
		r.metric(name, float64(sorted[at])/scale, unit, "lower")
	}
}
