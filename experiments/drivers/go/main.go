// SPDX-License-Identifier: MIT

// The workloads of shunt on goroutines, with the same inputs and the same checks.
//
// Each is written as one would write it in Go: a goroutine a task, runtime.Gosched to give way, a
// channel to pass a token. The setting workers is GOMAXPROCS. It speaks the protocol of ../README.md on
// its standard input and output; only the standard library is needed, so that Debian's toolchain builds it
// without a network and without modules.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Set by the lab's build: a hash of these sources and of the toolchain.
var buildID = "00000000"

type object = map[string]interface{}

var lines = json.NewEncoder(os.Stdout)

// say tells one message of the protocol.
func say(name string, content interface{}) {
	if err := lines.Encode(object{name: content}); err != nil {
		fmt.Fprintln(os.Stderr, "go:", err)
		os.Exit(3)
	}
}

// end tells why there will be nothing more: "skip" or "fail".
func end(how, format string, words ...interface{}) {
	say(how, fmt.Sprintf(format, words...))
	os.Exit(0)
}

func usage(format string, words ...interface{}) {
	fmt.Fprintf(os.Stderr, "go: "+format+"\n", words...)
	os.Exit(2)
}

// record has `shunt record` start this program again, and record what it says.
func record(words []string) {
	if len(words) < 3 || words[0] != "run" {
		usage("use: go run go WORKLOAD [key=value …] [--seed N] [--record FILE], or go version --json")
	}
	if strings.SplitN(words[1], ":", 2)[0] != "go" {
		usage("no backend %q in this driver; it is \"go\"", words[1])
	}
	if workloads[words[2]] == nil {
		usage("no workload %q in this driver", words[2])
	}
	self, err := os.Executable()
	shunt := os.Getenv("SHUNT_RECORDER")
	if err == nil && shunt == "" {
		shunt, err = exec.LookPath("shunt")
	}
	if err != nil {
		usage("there is no shunt to record the run: name it in $SHUNT_RECORDER (%v)", err)
	}
	all := append(append([]string{shunt, "record"}, words[1:]...), "--", self)
	usage("%s: %v", shunt, syscall.Exec(shunt, all, os.Environ()))
}

func settle(settings map[string]string) {
	for key, value := range settings {
		if key != "workers" {
			end("fail", "go has no setting %q; it has workers", key)
		}
		if value == "all" {
			continue
		}
		workers, err := strconv.Atoi(value)
		if err != nil || workers < 1 {
			end("fail", "workers=%s is not a whole number of at least 1", value)
		}
		runtime.GOMAXPROCS(workers)
	}
}

func main() {
	words := os.Args[1:]
	if len(words) > 0 && words[0] == "version" {
		lines.Encode(object{"driver": "go", "version": runtime.Version(), "build_id": buildID})
		return
	}
	if len(words) > 0 {
		record(words)
	}
	var asked question
	in := json.NewDecoder(os.Stdin)
	in.UseNumber()
	if err := in.Decode(&asked); err != nil {
		usage("standard input is not the question of `shunt record`: %v", err)
	}
	settle(asked.Settings)
	perform(newRun(&asked), workloads[asked.Workload]())
}
