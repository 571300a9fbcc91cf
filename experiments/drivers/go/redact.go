// SPDX-License-Identifier: MIT

// Redaction by the rules of core/measure/environment_redact.c: host names, user names, absolute paths.
package main

import (
	"os"
	"os/user"
	"regexp"
	"strings"
)

type redactor struct {
	path, word *regexp.Regexp
	instead    map[string]string
}

func newRedactor() *redactor {
	r := &redactor{instead: map[string]string{},
		path: regexp.MustCompile(`(^|[^A-Za-z0-9<_.])/[A-Za-z0-9._-][^ \t\n"'<>;,|]*`)}
	add := func(name, instead string) {
		if name != "" && name != "root" && name != "localhost" && r.instead[name] == "" {
			r.instead[name] = instead
		}
	}
	_, _, host := uname()
	add(host, "<host>")
	add(strings.SplitN(host, ".", 2)[0], "<host>")
	if me, err := user.Current(); err == nil {
		add(me.Username, "<user>")
	}
	add(os.Getenv("USER"), "<user>")
	add(os.Getenv("SUDO_USER"), "<user>")
	r.word = regexp.MustCompile(`[\pL\pN_-]+(\.[\pL\pN_-]+)*`)
	return r
}

func (r *redactor) text(text string) string {
	text = r.path.ReplaceAllString(text, "${1}<path>")
	return r.word.ReplaceAllStringFunc(text, func(found string) string {
		if instead := r.instead[found]; instead != "" {
			return instead
		}
		parts := strings.Split(found, ".")
		for i, part := range parts {
			if instead := r.instead[part]; instead != "" {
				parts[i] = instead
			}
		}
		return strings.Join(parts, ".")
	})
}

// record redacts the parts of a record that can hold a name or a path of the machine.
func (r *redactor) record(record object) {
	words := []string{}
	for _, word := range record["argv"].([]string) {
		words = append(words, r.text(word))
	}
	record["argv"] = words
	record["reason"] = r.text(record["reason"].(string))
	params := record["identity"].(object)["params"].(map[string]string)
	for name, value := range params {
		params[name] = r.text(value)
	}
}
