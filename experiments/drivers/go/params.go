// SPDX-License-Identifier: MIT

// Parameters: the names, defaults, limits and notation of shunt's own workloads.
package main

import (
	"math"
	"strconv"
	"strings"
)

type param struct {
	name, kind, fallback string // kind: count, duration, real, or choices separated by |
	least, most          int64
}

type values struct {
	text  map[string]string // as records hold it, in base units
	whole map[string]int64
	real  map[string]float64
	given map[string]string
}

var scales = map[string]map[string]float64{
	"count":    {"": 1, "k": 1e3, "M": 1e6, "G": 1e9},
	"duration": {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9},
}

func quantity(kind, text string) (int64, bool) {
	if kind == "duration" && text == "0" {
		return 0, true
	}
	digits := strings.TrimRight(text, "GMkmnsu")
	scale, known := scales[kind][text[len(digits):]]
	value, err := strconv.ParseFloat(digits, 64)
	value *= scale
	return int64(value), known && err == nil && value == math.Trunc(value)
}

func (v *values) put(workload string, p param, text string) {
	v.text[p.name] = text
	switch p.kind {
	case "count", "duration":
		value, good := quantity(p.kind, text)
		if !good || value < p.least || value > p.most {
			usage("%s: %s=%s is not a %s from %d to %d", workload, p.name, text, p.kind, p.least, p.most)
		}
		v.whole[p.name] = value
		v.text[p.name] = strconv.FormatInt(value, 10)
	case "real":
		value, err := strconv.ParseFloat(text, 64)
		if err != nil || !(value >= float64(p.least) && value <= float64(p.most)) {
			usage("%s: %s=%s is not a number from %d to %d", workload, p.name, text, p.least, p.most)
		}
		v.real[p.name] = value
	default:
		for _, choice := range strings.Split(p.kind, "|") {
			if choice == text {
				return
			}
		}
		usage("%s: %s=%s is not one of %s", workload, p.name, text, p.kind)
	}
}

func read(workload string, table []param, given map[string]string) *values {
	v := &values{map[string]string{}, map[string]int64{}, map[string]float64{}, given}
	known := map[string]bool{}
	for _, p := range table {
		known[p.name] = true
		text, set := given[p.name]
		if !set {
			text = p.fallback
		}
		v.put(workload, p, text)
	}
	for name := range given {
		if !known[name] {
			usage("%s has no parameter %q in this driver", workload, name)
		}
	}
	return v
}

// imply sets a parameter that the user left open.
func (v *values) imply(name, text string, value int64) {
	if _, set := v.given[name]; !set {
		v.text[name], v.whole[name] = text, value
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
