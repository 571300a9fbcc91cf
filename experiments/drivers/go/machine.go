// SPDX-License-Identifier: MIT

// The manifest of the machine and its class, as core/measure/environment.h defines them.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type object = map[string]interface{}

const cpus = "/sys/devices/system/cpu/"

func file(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// canonical is the compact JSON with sorted keys; hash its SHA-256.
func canonical(document interface{}) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(document); err != nil {
		panic(err)
	}
	return bytes.TrimRight(out.Bytes(), "\n")
}

func hash(document interface{}) string {
	digest := sha256.Sum256(canonical(document))
	return hex.EncodeToString(digest[:])
}

func cpuinfo(keys ...string) string {
	lines := strings.Split(file("/proc/cpuinfo"), "\n")
	for _, key := range keys {
		for _, line := range lines {
			pair := strings.SplitN(line, ":", 2)
			if len(pair) == 2 && strings.TrimSpace(pair[0]) == key && strings.TrimSpace(pair[1]) != "" {
				return strings.TrimSpace(pair[1])
			}
		}
	}
	return ""
}

func model() string {
	if name := cpuinfo("model name", "uarch", "isa"); name != "" {
		return name
	}
	implementer, part := cpuinfo("CPU implementer"), cpuinfo("CPU part")
	if implementer != "" && part != "" {
		return "implementer " + implementer + " part " + part
	}
	return ""
}

func cores() int {
	lists := map[string]bool{}
	paths, _ := filepath.Glob(cpus + "cpu[0-9]*/topology/thread_siblings_list")
	for _, path := range paths {
		if list := file(path); list != "" {
			lists[list] = true
		}
	}
	return len(lists)
}

// logical counts the CPUs that are online, as sysconf does.
func logical() int {
	count := 0
	for _, part := range strings.Split(file(cpus+"online"), ",") {
		ends := strings.SplitN(part, "-", 2)
		first, err := strconv.Atoi(ends[0])
		if err != nil {
			return runtime.NumCPU()
		}
		last := first
		if len(ends) == 2 {
			last, _ = strconv.Atoi(ends[1])
		}
		count += last - first + 1
	}
	return count
}

func memory() int64 {
	for _, line := range strings.Split(file("/proc/meminfo"), "\n") {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(words[1], 10, 64)
			return kib * 1024
		}
	}
	return 0
}

func uname() (machine, release, host string) {
	var u syscall.Utsname
	syscall.Uname(&u)
	text := func(field [65]int8) string {
		var out []byte
		for _, c := range field {
			if c == 0 {
				break
			}
			out = append(out, byte(c))
		}
		return string(out)
	}
	return text(u.Machine), text(u.Release), text(u.Nodename)
}

func orUnknown(text string) string {
	if text == "" || text == "0" {
		return "unknown"
	}
	return text
}

func machineClass() string {
	arch, release, _ := uname()
	gib := 1
	for float64(gib) < float64(memory())/(1<<30) {
		gib *= 2
	}
	return hash(object{"arch": arch, "cores": orUnknown(strconv.Itoa(cores())), "kernel": release,
		"logical": strconv.Itoa(logical()), "memory_gib": strconv.Itoa(gib),
		"model": orUnknown(model())})[:16]
}

const notRead = "this driver does not read it; see the manifest of a shunt run on the same machine"

var required = strings.Fields(`build.commit build.dirty build.compiler build.flags build.id
	build.libraries cpu.arch cpu.model cpu.microcode cpu.caches cpu.logical cpu.cores cpu.smt
	cpu.governor cpu.boost cpu.isolated cpu.allowed cpu.mitigations kernel.release kernel.version
	kernel.cmdline kernel.clocksource kernel.io_uring_disabled kernel.max_map_count kernel.thp
	kernel.timer_slack_ns machine.hostname machine.hypervisor machine.memory_bytes machine.cgroup
	library.libc topology.xml`)

func allowed() string {
	for _, line := range strings.Split(file("/proc/self/status"), "\n") {
		if strings.HasPrefix(line, "Cpus_allowed_list:") {
			return strings.TrimSpace(strings.TrimPrefix(line, "Cpus_allowed_list:"))
		}
	}
	return ""
}

func manifest(redact bool) object {
	facts := object{}
	for _, name := range required {
		facts[name] = object{"absent": notRead}
	}
	put := func(name string, value interface{}, source string) {
		if value != "" && value != 0 && value != int64(0) {
			facts[name] = object{"value": value, "source": source}
		}
	}
	arch, release, host := uname()
	put("cpu.arch", arch, "uname")
	put("kernel.release", release, "uname")
	put("machine.hostname", host, "uname")
	put("cpu.model", model(), "/proc/cpuinfo")
	put("cpu.microcode", cpuinfo("microcode"), "/proc/cpuinfo")
	put("cpu.logical", logical(), cpus+"online")
	put("cpu.cores", cores(), cpus+"cpu*/topology/thread_siblings_list")
	put("cpu.allowed", allowed(), "/proc/self/status")
	put("machine.memory_bytes", memory(), "/proc/meminfo")
	put("cpu.governor", file(cpus+"cpu0/cpufreq/scaling_governor"), cpus+"cpu0/cpufreq/scaling_governor")
	put("kernel.version", file("/proc/version"), "/proc/version")
	put("kernel.cmdline", file("/proc/cmdline"), "/proc/cmdline")
	put("build.id", buildID, "hash of the driver's source and toolchain")
	put("build.compiler", runtime.Version(), "runtime")
	if redact {
		hide := newRedactor()
		for _, fact := range facts { // a source is a path of the kernel's, the same everywhere
			if text, is := fact.(object)["value"].(string); is {
				fact.(object)["value"] = hide.text(text)
			}
		}
	}
	core := object{"facts": facts, "redacted": redact, "schema": "shunt.env/1"}
	id := hash(core)
	core["env_id"], core["machine_class"] = id, machineClass()
	core["volatile"] = object{"machine.time": object{
		"value": time.Now().UTC().Format(time.RFC3339), "source": "time"}}
	return core
}

// isWhole says whether a file is the manifest of this id, and not what a full disk or a crash left of it.
func isWhole(name, id string) bool {
	if about, err := os.Stat(name); err != nil || !about.Mode().IsRegular() {
		return false
	}
	text, _ := os.ReadFile(name)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	found := object{}
	if decoder.Decode(&found) != nil {
		return false
	}
	return id == hash(object{"facts": found["facts"], "redacted": found["redacted"],
		"schema": found["schema"]})
}

func interference() object {
	found := object{}
	if words := strings.Fields(file("/proc/loadavg")); len(words) > 0 {
		load, _ := strconv.ParseFloat(words[0], 64)
		found["load1"] = load
	}
	for _, line := range strings.Split(file("/proc/stat"), "\n") {
		words := strings.Fields(line)
		names := map[string]string{"procs_running": "procs_running", "ctxt": "context_switches"}
		if len(words) > 8 && words[0] == "cpu" {
			found["steal_ticks"], _ = strconv.ParseInt(words[8], 10, 64)
		} else if len(words) == 2 && names[words[0]] != "" {
			found[names[words[0]]], _ = strconv.ParseInt(words[1], 10, 64)
		}
	}
	return found
}
