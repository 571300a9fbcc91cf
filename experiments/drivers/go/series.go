// SPDX-License-Identifier: MIT

// Latency series: core/measure/hist.h in Go, in shards so that recording tasks do not meet.
package main

import (
	"math"
	"math/bits"
	"sort"
	"strconv"
	"sync"
	"time"
)

var base = time.Now()

// now is the monotonic clock in nanoseconds.
func now() int64 { return int64(time.Since(base)) }

const shards = 64

type shard struct {
	sync.Mutex
	buckets         map[uint32]uint64
	count, negative uint64
	sum             uint64
	least, greatest uint64
	_               [64]byte
}

type series struct {
	shard [shards]shard
	unit  string
}

func newSeries() *series {
	s := &series{unit: "ns"}
	for i := range s.shard {
		s.shard[i].buckets = map[uint32]uint64{}
		s.shard[i].least = math.MaxUint64
	}
	return s
}

func bucketOf(value uint64) uint32 {
	shift := uint(0)
	if length := uint(bits.Len64(value)); length > 11 {
		shift = length - 11
	}
	return uint32(shift<<10) + uint32(value>>shift)
}

// merged are the same counts in buckets of two digits: the rule of bucketOf with 128 for 1024. Each is a
// union of finer ones.
func merged(buckets [][2]uint64) [][2]uint64 {
	made := [][2]uint64{}
	for _, b := range buckets {
		value, shift := greatestOf(uint32(b[0])), 0
		if length := bits.Len64(value); length > 8 {
			shift = length - 8
		}
		index := uint64(shift)<<7 + value>>uint(shift)
		if last := len(made) - 1; last >= 0 && made[last][0] == index {
			made[last][1] += b[1]
		} else {
			made = append(made, [2]uint64{index, b[1]})
		}
	}
	return made
}

// greatestOf is the value that a bucket is reported as.
func greatestOf(index uint32) uint64 {
	if index < 2048 {
		return uint64(index)
	}
	shift := index/1024 - 1
	return uint64(1024+index%1024)<<shift + 1<<shift - 1
}

func (s *series) record(task int64, value int64) {
	h := &s.shard[task%shards]
	h.Lock()
	if value < 0 {
		h.negative++
		value = 0
	}
	v := uint64(value)
	h.buckets[bucketOf(v)]++
	h.count++
	h.sum += v
	if v < h.least {
		h.least = v
	}
	if v > h.greatest {
		h.greatest = v
	}
	h.Unlock()
}

// document is the series as a record holds it, with that many digits; nil when it is empty.
func (s *series) document(digits int) map[string]interface{} {
	all := shard{buckets: map[uint32]uint64{}, least: math.MaxUint64}
	for i := range s.shard {
		h := &s.shard[i]
		for index, count := range h.buckets {
			all.buckets[index] += count
		}
		all.count += h.count
		all.negative += h.negative
		all.sum += h.sum
		if h.least < all.least {
			all.least = h.least
		}
		if h.greatest > all.greatest {
			all.greatest = h.greatest
		}
	}
	if all.count == 0 {
		return nil
	}
	return all.document(s.unit, digits)
}

func (h *shard) document(unit string, digits int) map[string]interface{} {
	order := make([]int, 0, len(h.buckets))
	for index := range h.buckets {
		order = append(order, int(index))
	}
	sort.Ints(order)
	buckets := make([][2]uint64, 0, len(order))
	for _, index := range order {
		buckets = append(buckets, [2]uint64{uint64(index), h.buckets[uint32(index)]})
	}
	quantiles := map[string]uint64{}
	for name, q := range map[string]float64{"p50": .5, "p90": .9, "p95": .95, "p99": .99,
		"p99.9": .999, "p99.99": .9999, "p99.999": .99999} {
		if float64(h.count) >= math.Log(0.025)/math.Log(q) {
			quantiles[name] = h.quantile(buckets, q)
		}
	}
	if digits == 2 {
		buckets = merged(buckets)
	}
	made := map[string]interface{}{"unit": unit, "count": h.count, "digits": digits,
		"sum": strconv.FormatUint(h.sum, 10), "min": h.least, "max": h.greatest,
		"buckets": buckets, "quantiles": quantiles}
	if h.negative > 0 {
		made["negative"] = h.negative
	}
	return made
}

func (h *shard) quantile(buckets [][2]uint64, q float64) uint64 {
	rank := uint64(math.Ceil(q*float64(h.count) - 1e-9))
	var seen uint64
	for _, b := range buckets {
		if seen += b[1]; seen >= rank {
			if value := greatestOf(uint32(b[0])); value < h.greatest {
				return value
			}
			break
		}
	}
	return h.greatest
}
