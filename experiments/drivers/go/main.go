// SPDX-License-Identifier: MIT

// The workloads of shunt on goroutines, with the same inputs, the same checks and the same records.
//
// Each is written as one would write it in Go: a goroutine a task, runtime.Gosched to give way, a
// channel to pass a token. The setting workers is GOMAXPROCS. Only the standard library is needed,
// so that Debian's toolchain builds it without a network and without modules.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Set by the lab's build: a hash of these sources and of the toolchain.
var buildID = "00000000"

type options struct {
	seed          uint64
	warmup, iters int
	record, arm   string
	block         string
	repetition    int
	digits        int
	asJSON        bool
	redact        bool
	backend       string
	workload      string
	given         map[string]string
	workers       int
	settings      map[string]string
}

func usage(format string, words ...interface{}) {
	fmt.Fprintf(os.Stderr, "go: "+format+"\n", words...)
	os.Exit(2)
}

func number(name, text string, least int) int {
	value, err := strconv.Atoi(text)
	if err != nil || value < least {
		usage("--%s %q is not a whole number of at least %d", name, text, least)
	}
	return value
}

func parse(words []string) options {
	o := options{seed: 42, warmup: 1, iters: 5, digits: 3, given: map[string]string{}}
	var plain []string
	for i := 0; i < len(words); i++ {
		word := words[i]
		if !strings.HasPrefix(word, "--") {
			plain = append(plain, word)
			continue
		}
		if word == "--json" || word == "--strict" || word == "--redact" {
			o.asJSON = o.asJSON || word == "--json"
			o.redact = o.redact || word == "--redact"
			continue
		}
		name, value := word[2:], ""
		if at := strings.IndexByte(name, '='); at >= 0 {
			name, value = name[:at], name[at+1:]
		} else if i+1 < len(words) {
			i++
			value = words[i]
		} else {
			usage("--%s needs a value", name)
		}
		o.set(name, value)
	}
	o.words(plain)
	return o
}

func (o *options) set(name, value string) {
	switch name {
	case "seed":
		seed, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			usage("--seed %q is not a whole number", value)
		}
		o.seed = seed
	case "warmup":
		o.warmup = number(name, value, 0)
	case "iters":
		o.iters = number(name, value, 1)
	case "repetition":
		o.repetition = number(name, value, 0)
	case "digits":
		if o.digits = number(name, value, 2); o.digits > 3 {
			usage("--digits %q is not 2 or 3", value)
		}
	case "record":
		o.record = value
	case "arm":
		o.arm = value
	case "block":
		o.block = value
	default:
		usage("unknown option --%s", name)
	}
}

func (o *options) words(plain []string) {
	if len(plain) < 2 {
		usage("use: go run go WORKLOAD [key=value …] [--seed N] [--record FILE]")
	}
	spec := strings.SplitN(plain[0], ":", 2)
	if spec[0] != "go" {
		usage("no backend %q in this driver; it is \"go\"", spec[0])
	}
	o.backend, o.workload = spec[0], plain[1]
	o.workers = runtime.NumCPU()
	o.settings = map[string]string{}
	if len(spec) == 2 {
		for _, part := range strings.Split(spec[1], ",") {
			pair := strings.SplitN(part, "=", 2)
			if pair[0] != "workers" || len(pair) != 2 {
				usage("go has no setting %q; it has workers", pair[0])
			}
			if pair[1] != "all" {
				o.workers = number("workers", pair[1], 1)
			}
		}
	}
	for _, word := range plain[2:] {
		pair := strings.SplitN(word, "=", 2)
		if len(pair) != 2 {
			usage("%q is no parameter: expected key=value", word)
		}
		o.given[pair[0]] = pair[1]
	}
	if o.arm == "" {
		o.arm = o.backend
	}
}

func main() {
	words := os.Args[1:]
	if len(words) > 0 && words[0] == "version" {
		out, _ := json.Marshal(map[string]string{"driver": "go", "version": runtime.Version(),
			"build_id": buildID})
		fmt.Println(string(out))
		return
	}
	if len(words) == 0 || words[0] != "run" {
		usage("use: go run go WORKLOAD [key=value …] [--seed N] [--record FILE], or go version --json")
	}
	o := parse(words[1:])
	if o.record != "" {
		if info, err := os.Stat(o.record); err == nil && info.Mode().IsRegular() {
			usage("%s exists; a record is never overwritten", o.record)
		}
	}
	maker, known := workloads[o.workload]
	if !known {
		usage("no workload %q in this driver", o.workload)
	}
	runtime.GOMAXPROCS(o.workers)
	os.Exit(perform(o, maker()))
}
