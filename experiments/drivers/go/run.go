// SPDX-License-Identifier: MIT

// One run: warm-up and measured iterations, their medians, and the record, whatever became of it.
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"syscall"
	"time"
)

// A workload is made once a run; setup is not timed, iterate times its own region.
type workload interface {
	table() []param
	cost() string
	setup(r *run)
	iterate(r *run)
	verify(r *run)
}

type metric struct {
	value        float64
	unit, better string
}

type run struct {
	*values
	seed               uint64
	warmingUp          bool
	operations         int64
	kept               map[string]*series
	checks             []object
	wrong              string
	facts              map[string]string
	extra              map[string]metric
	began, ended       int64
	cpuBegan, cpuEnded int64
}

func cpuTime() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func (r *run) begin() { r.cpuBegan, r.began = cpuTime(), now() }
func (r *run) end()   { r.ended, r.cpuEnded = now(), cpuTime() }

// recorder is where an iteration's samples go; those of warm-up go nowhere.
func (r *run) recorder(name string) *series {
	if r.warmingUp {
		return newSeries()
	}
	if r.kept[name] == nil {
		r.kept[name] = newSeries()
	}
	return r.kept[name]
}

func (r *run) check(name string, expected, actual int64) {
	r.checks = append(r.checks, object{"name": name, "expected": strconv.FormatInt(expected, 10),
		"actual": strconv.FormatInt(actual, 10), "ok": expected == actual})
	if expected != actual && r.wrong == "" {
		r.wrong = fmt.Sprintf("wrong answer: %s should be %d and is %d", name, expected, actual)
	}
}

func median(many []float64) float64 {
	sort.Float64s(many)
	n := len(many)
	return (many[(n-1)/2] + many[n/2]) / 2
}

func instant() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z") }

func emptyRecord(o options) object {
	return object{"schema": "shunt.run/1", "arm": o.arm, "repetition": o.repetition, "block": o.block,
		"writer": "go driver, " + runtime.Version(), "status": "ok", "reason": "", "argv": os.Args,
		"identity": object{"driver": "go", "backend": o.backend, "workload": o.workload,
			"composition": object{"workers": strconv.Itoa(o.workers), "runtime": runtime.Version()},
			"params":      map[string]string{}, "seed": strconv.FormatUint(o.seed, 10),
			"build_id": buildID},
		"times":        object{"started": instant()},
		"interference": object{"before": interference()},
		"clock":        object{"source": "monotonic", "read_cost_ns": clockCost()}}
}

func clockCost() float64 {
	started := now()
	for i := 0; i < 999; i++ {
		now()
	}
	return float64(now()-started) / 1000
}

// perform makes the run and its record and returns the exit status.
func perform(o options, w workload) int {
	record := emptyRecord(o)
	started := now()
	r := &run{values: read(o.workload, w.table(), o.given), seed: o.seed, kept: map[string]*series{},
		facts: map[string]string{}}
	stop := make(chan os.Signal, 1)
	for _, number := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		// What was ignored at the start stays ignored.
		if !signal.Ignored(number) {
			signal.Notify(stop, number)
		}
	}
	done := make(chan string, 1)
	go func() {
		w.setup(r)
		record["identity"].(object)["params"] = r.text
		if len(r.facts) > 0 {
			record["facts"] = r.facts
		}
		done <- iterations(r, w, record, o)
	}()
	code := 0
	select {
	case why := <-done:
		if why != "" {
			record["status"], record["reason"] = "failed", why
			code = 1
		}
	case number := <-stop:
		// The tasks still run: nothing that they write to is read from here on.
		record = emptyRecord(o)
		record["status"], record["reason"] = "interrupted", "ended by "+number.String()
		code = 128 + int(number.(syscall.Signal))
	}
	finish(record, o, started)
	return code
}

func iterations(r *run, w workload, record object, o options) string {
	history := map[string][]float64{}
	kinds := map[string]metric{}
	measured := []object{}
	var before syscall.Rusage
	for number := 0; number < o.warmup+o.iters; number++ {
		r.warmingUp = number < o.warmup
		if number == o.warmup {
			syscall.Getrusage(syscall.RUSAGE_SELF, &before)
		}
		r.checks, r.extra, r.operations = nil, map[string]metric{}, 0
		w.iterate(r)
		w.verify(r)
		wall, cpu := r.ended-r.began, r.cpuEnded-r.cpuBegan
		if number == 0 {
			record["cold_wall_ns"] = wall
		}
		record["checks"] = r.checks
		if r.wrong != "" {
			return r.wrong
		}
		if r.warmingUp {
			continue
		}
		measured = append(measured, object{"wall_ns": wall, "cpu_ns": cpu, "ops": r.operations})
		ops := float64(r.operations)
		r.extra["wall_ns"] = metric{float64(wall), "ns", "lower"}
		r.extra["cpu_ns"] = metric{float64(cpu), "ns", "lower"}
		r.extra["ops_per_s"] = metric{ops * 1e9 / float64(wall), "1/s", "higher"}
		r.extra[w.cost()] = metric{float64(wall) / ops, "ns", "lower"}
		for name, m := range r.extra {
			history[name] = append(history[name], m.value)
			kinds[name] = m
		}
	}
	var after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	metrics, all := object{}, object{}
	for name, many := range history {
		metrics[name] = object{"value": median(many), "unit": kinds[name].unit,
			"better": kinds[name].better}
	}
	for name, s := range r.kept {
		if document := s.document(o.digits); document != nil {
			all[name] = document
		}
	}
	record["warmup"], record["iterations"], record["metrics"] = o.warmup, measured, metrics
	record["series"], record["counters"] = all, object{}
	record["usage"] = used(before, after)
	return ""
}

func used(before, after syscall.Rusage) object {
	user := after.Utime.Nano() - before.Utime.Nano()
	system := after.Stime.Nano() - before.Stime.Nano()
	return object{"cpu_ns": user + system, "user_ns": user, "system_ns": system,
		"voluntary_switches":   after.Nvcsw - before.Nvcsw,
		"involuntary_switches": after.Nivcsw - before.Nivcsw,
		"minor_faults":         after.Minflt - before.Minflt,
		"major_faults":         after.Majflt - before.Majflt, "peak_rss_bytes": after.Maxrss * 1024}
}

func finish(record object, o options, started int64) {
	env := manifest(o.redact)
	if o.redact {
		newRedactor().record(record)
	}
	if record["status"] != "ok" {
		delete(record, "metrics")
		fmt.Fprintf(os.Stderr, "go: %s: %s\n", record["status"], record["reason"])
	}
	times := record["times"].(object)
	times["finished"], times["elapsed_ns"] = instant(), now()-started
	record["interference"].(object)["after"] = interference()
	record["env_id"], record["machine_class"] = env["env_id"], env["machine_class"]
	record["run_id"] = hash(object{"arm": record["arm"], "block": record["block"],
		"identity": record["identity"], "machine_class": record["machine_class"],
		"repetition": record["repetition"]})[:16]
	if _, err := os.Stat(o.record); err == nil {
		// A device or a pipe: it gets the record alone, and stays what it is. Non-blocking: the
		// open must not wait for a reader.
		out, err := os.OpenFile(o.record, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			_, err = out.Write(sealed(record))
		}
		if err != nil {
			lost(err)
		}
	} else if o.record != "" {
		folder := filepath.Join(filepath.Dir(o.record), "env")
		os.Mkdir(folder, 0o777)
		name := filepath.Join(folder, env["env_id"].(string)+".json")
		if !isWhole(name, env["env_id"].(string)) {
			write(name, append(canonical(env), '\n'))
		}
		write(o.record, sealed(record))
	}
	if o.asJSON {
		fmt.Println(string(canonical(record)))
	} else if record["status"] == "ok" {
		report(record)
	}
}

// sealed is a record as it is written: the checksum of all bytes before it comes last.
func sealed(record object) []byte {
	text := canonical(record)
	text = text[:len(text)-1]
	digest := sha256.Sum256(text)
	return append(text, fmt.Sprintf(",\"sha256\":\"%x\"}\n", digest)...)
}

// write makes a file whole or not at all.
func write(name string, content []byte) {
	fresh := name + ".tmp" + strconv.Itoa(os.Getpid())
	out, err := os.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err == nil {
		_, err = out.Write(content)
		if err == nil {
			err = out.Sync()
		}
		out.Close()
	}
	if err == nil {
		err = os.Rename(fresh, name)
	}
	if err != nil {
		os.Remove(fresh)
		lost(err)
	}
}

func lost(err error) {
	fmt.Fprintf(os.Stderr, "go: the record could not be written: %v\n", err)
	os.Exit(3)
}

func report(record object) {
	fmt.Printf("%s on go\n", record["identity"].(object)["workload"])
	for _, c := range record["checks"].([]object) {
		fmt.Printf("  %s %s as expected\n", c["name"], c["actual"])
	}
	names := []string{}
	for name := range record["metrics"].(object) {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		m := record["metrics"].(object)[name].(object)
		fmt.Printf("  %-20s %.6g %s\n", name, m["value"], m["unit"])
	}
	for name, s := range record["series"].(object) {
		fmt.Printf("  %-20s %v ns (%v samples)\n", name, s.(object)["quantiles"], s.(object)["count"])
	}
}
