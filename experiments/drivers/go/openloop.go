// SPDX-License-Identifier: MIT

// openloop: requests of an arrival table, each a goroutine; latency from the intended arrival.
//
// As workloads/openloop.c with injection=timer, in what it measures and how: a goroutine starts what is
// due and sleeps until shortly before the next arrival, then gives way until it; the end of a request
// starts what is due, too. Service is calibrated arithmetic. It has no slices, faults or traces of
// arrivals, and no bound on the backlog: the runtime preempts by itself.
package main

import (
	"fmt"
	"math"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// From so long before an arrival on, the generator does not trust a sleep, which ends up to 1 ms late.
const nearNs = 1500000

const leadNs = 200000

type request struct {
	w                                  *openloop
	number                             int
	injected, lag, started, ended, ran int64
}

type openloop struct {
	requests []request
	arrivals []arrival
	hash     uint64
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

func (*openloop) cost() string { return "ns_per_request" }
func (*openloop) table() []param {
	return []param{{"requests", "count", "10k", 1, 100000000},
		{"process", "poisson|constant", "poisson", 0, 0}, {"load", "real", "0.5", 0, 1024},
		{"rate", "count", "0", 0, 1000000000}, {"service", laws, "exponential", 0, 0},
		{"mean", "duration", "10us", 1, serviceMost}, {"sigma", "real", "1", 0, 8},
		{"deadline", "duration", "0", 0, serviceMost}, {"skip", "count", "0", 0, 100000000},
		{"series", "all|response|slowdown|none", "all", 0, 0}}
}

// implyRate makes of rate and load the one that was not given.
func (r *run) implyRate() {
	mean := float64(r.whole["mean"])
	if _, given := r.given["rate"]; given {
		if _, both := r.given["load"]; both {
			usage("rate and load exclude each other: load is rate x mean")
		}
		r.real["load"] = float64(r.whole["rate"]) * mean / 1e9
		r.text["load"] = strconv.FormatFloat(r.real["load"], 'g', 9, 64)
	} else {
		rate := int64(math.Min(r.real["load"]*1e9/mean+0.5, 2e9))
		r.imply("rate", strconv.FormatInt(rate, 10), rate)
	}
	if r.whole["rate"] < 1 || r.whole["rate"] > 1000000000 {
		usage(fmt.Sprintf("a rate of %d requests a second: it must be 1 to 10^9", r.whole["rate"]))
	}
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
	r.implyRate()
	if _, given := r.given["skip"]; !given {
		r.imply("skip", strconv.FormatInt(r.whole["requests"]/10, 10), r.whole["requests"]/10)
	}
	if _, given := r.given["deadline"]; !given {
		r.imply("deadline", strconv.FormatInt(10*r.whole["mean"], 10), 10*r.whole["mean"])
	}
	if r.whole["skip"] >= r.whole["requests"] {
		usage("skip leaves no request to measure")
	}
	p := plan{r.seed, uint64(r.whole["requests"]), uint64(r.whole["rate"]), uint64(r.whole["mean"]),
		uint64(r.real["sigma"]*65536 + 0.5), r.text["process"], r.text["service"]}
	w.workers = int64(runtime.GOMAXPROCS(0))
	if w.arrivals = p.make(); w.arrivals == nil {
		usage(fmt.Sprintf("%d requests at a rate of %d a second would arrive for more than 78 hours, "+
			"the most that a table of arrivals spans", p.count, p.rate))
	}
	w.hash = tableHash(w.arrivals)
	r.facts["arrivals.hash"] = fmt.Sprintf("%016x", w.hash)
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
	r.check("arrivals_hash", int64(w.hash), int64(tableHash(w.arrivals)))
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
	r.extra["offered_load"] = metric{work / last, "1", "none"}
	r.extra["backlog_max"] = metric{float64(w.most), "1", "lower"}
	r.extra["deadline_missed"] = metric{missed / float64(len(samples["response"])), "1", "lower"}
	for _, name := range []string{"response", "queueing", "lag", "injection"} {
		sum := 0.0
		for _, value := range samples[name] {
			sum += float64(value)
		}
		r.extra[name+"_mean_ns"] = metric{sum / float64(len(samples[name])), "ns", "lower"}
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
		r.extra[name] = metric{float64(sorted[at]) / scale, unit, "lower"}
	}
}
