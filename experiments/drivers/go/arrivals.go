// SPDX-License-Identifier: MIT

// The arrival table of openloop, the same bits as in C: workloads/arrivals.h and variates.h describe
// the algorithm, in integers alone. What differs shows in the table's hash.
package main

import "math/bits"

const serviceMost = 3600000000000

type rng struct{ s [4]uint64 }

// newRng is xoshiro256**, seeded by splitmix64: core/rng.h.
func newRng(seed uint64) *rng {
	r := &rng{}
	for i := range r.s {
		r.s[i] = splitmix64(&seed)
	}
	return r
}

func (r *rng) next() uint64 {
	s := &r.s
	result := bits.RotateLeft64(s[1]*5, 7) * 9
	t := s[1] << 17
	s[2] ^= s[0]
	s[3] ^= s[1]
	s[1] ^= s[2]
	s[0] ^= s[3]
	s[2] ^= t
	s[3] = bits.RotateLeft64(s[3], 45)
	return result
}

// exponential is a variate of mean 1: its whole part, and the fraction in 2^-64.
func (r *rng) exponential() (uint64, uint64) {
	for whole := uint64(0); ; whole++ {
		first := r.next()
		last, odd := first, true
		for u := r.next(); u < last; u = r.next() {
			last, odd = u, !odd
		}
		if odd {
			return whole, first
		}
	}
}

func mulhi(a, b uint64) uint64 {
	high, _ := bits.Mul64(a, b)
	return high
}

// part is a * b / c, whose product may need 128 bits.
func part(a, b, c uint64) uint64 {
	high, low := bits.Mul64(a, b)
	quotient, _ := bits.Div64(high, low, c)
	return quotient
}

// exponentialOf saturates.
func (r *rng) exponentialOf(scale uint64) uint64 {
	whole, fraction := r.exponential()
	high, low := bits.Mul64(scale, whole)
	sum, carry := bits.Add64(low, mulhi(scale, fraction), 0)
	if high+carry > 0 {
		return ^uint64(0)
	}
	return sum
}

// normal is in units of 2^-32.
func (r *rng) normal() int64 {
	const one = uint64(1) << 32
	for {
		whole, fraction := r.exponential()
		other, rest := r.exponential()
		if whole >= 64 {
			continue
		}
		x := whole<<32 + fraction>>32
		d := x - one
		if x < one {
			d = one - x
		}
		high, low := bits.Mul64(d, d)
		if 2*(other<<32+rest>>32) <= high<<32+low>>32 {
			continue
		}
		if r.next()>>63 == 1 {
			return -int64(x)
		}
		return int64(x)
	}
}

// scaledExp is scale * exp(y / 2^32), rounded down, at most `most`.
func scaledExp(scale uint64, y int64, most uint64) uint64 {
	const ln2, one = int64(2977044472), uint64(1) << 62
	n := y / ln2
	if y%ln2 < 0 {
		n--
	}
	g, r := uint64(y-n*ln2)<<32, one
	for i := uint64(16); i > 0; i-- {
		r = one + mulhi(g, r)/i
	}
	if n > 62 {
		if scale > 0 {
			return most
		}
		return 0
	}
	high, low := bits.Mul64(scale, r)
	shift := uint(62 - n)
	if shift >= 64 {
		low, high = high, 0
		shift -= 64
	}
	value := low>>shift | high<<(64-shift)
	if shift == 0 {
		value = low
	}
	if high>>shift > 0 || value > most {
		return most
	}
	return value
}

type arrival struct{ at, service, class uint64 }

var laws = "fixed|exponential|bimodal|extreme|lognormal|mix"

type plan struct {
	seed, count, rate, mean, sigma uint64
	process, law                   string
}

func (p *plan) service(r *rng) (uint64, uint64) {
	switch p.law {
	case "exponential":
		return r.exponentialOf(p.mean), 0
	case "bimodal":
		class := r.next() >> 63
		return part(p.mean, 2+198*class, 101), class
	case "extreme":
		if mulhi(r.next(), 200) == 0 {
			return part(p.mean, 200000, 1199), 1
		}
		return part(p.mean, 200, 1199), 0
	case "lognormal":
		z := r.normal()
		size := uint64(z)
		if z < 0 {
			size = uint64(-z)
		}
		y := int64(p.sigma * size >> 16)
		if z < 0 {
			y = -y
		}
		return scaledExp(p.mean, y-int64(p.sigma*p.sigma/2), serviceMost), 0
	case "mix":
		until := [5]uint64{11, 12, 23, 24, 25}
		weight := [5]uint64{5700, 6000, 20000, 88000, 100000}
		at, class := mulhi(r.next(), 25), uint64(0)
		for at >= until[class] {
			class++
		}
		return part(p.mean, weight[class], 19068), class
	}
	return p.mean, 0
}

// make gives nil where the last request would arrive after 2^48 ns.
func (p *plan) make() []arrival {
	state, time := p.seed, uint64(0)
	times := newRng(splitmix64(&state))
	services := newRng(splitmix64(&state))
	gap := (uint64(1000000000) << 16) / p.rate
	made := make([]arrival, p.count)
	for i := range made {
		wait, carry := gap, uint64(0)
		if p.process == "poisson" {
			wait = times.exponentialOf(gap)
		}
		if time, carry = bits.Add64(time, wait, 0); carry > 0 {
			return nil
		}
		service, class := p.service(services)
		if service < 1 {
			service = 1
		} else if service > serviceMost {
			service = serviceMost
		}
		made[i] = arrival{time >> 16, service, class}
	}
	return made
}

// tableHash is FNV-1a, 64 bits.
func tableHash(table []arrival) uint64 {
	value := uint64(0xcbf29ce484222325)
	for _, a := range table {
		for _, word := range [3]uint64{a.at, a.service, a.class} {
			for i := 0; i < 8; i++ {
				value = (value ^ word&0xff) * 0x100000001b3
				word >>= 8
			}
		}
	}
	return value
}
