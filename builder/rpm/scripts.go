package rpm

import (
	"fmt"
	"strings"

	"github.com/proa-os/proa/builder/packages"
)

// scriptlet is one of the scripts that a package has at most one of.
type scriptlet struct {
	name              string
	text, prog, flags tag
}

var scriptlets = []scriptlet{
	{"%pretrans", 1151, 1153, 5024}, {"%pre", 1023, 1085, 5020}, {"%post", 1024, 1086, 5021},
	{"%preun", 1025, 1087, 5022}, {"%postun", 1026, 1088, 5023}, {"%posttrans", 1152, 1154, 5025},
	{"%preuntrans", 5104, 5106, 5108}, {"%postuntrans", 5105, 5107, 5109}, {"%verifyscript", 1079, 1091, 5026},
}

// triggers is one of the sorts of triggers.
type triggers struct {
	name                                                           string
	texts, progs, scriptFlags, conditions, index, versions, senses tag
}

var triggerSorts = []triggers{
	{"trigger", 1065, 1092, 5027, tagTriggerName, 1069, 1067, 1068},
	{"filetrigger", 5066, 5067, 5068, tagFileTriggerName, tagFileTriggerIndex, 5071, 5072},
	{"transfiletrigger", 5076, 5077, 5078, tagTransTriggerName, tagTransTriggerIndex, 5081, 5082},
}

// When a trigger acts (rpmsense).
var triggerMoments = []struct {
	flag uint64
	name string
}{{1 << 25, "prein"}, {1 << 16, "in"}, {1 << 17, "un"}, {1 << 18, "postun"}}

// scripts are all scripts of the header, as a spec file names them, with its
// options: "%post", "%post -e" (macros expanded at install time), "%post -q"
// (header values likewise), "%triggerin -- name >= 1, other".
func scripts(h *header) ([]packages.Script, error) {
	var all []packages.Script
	for _, s := range scriptlets {
		if !h.has(s.text) && !h.has(s.prog) {
			continue
		}
		text, err := h.string(s.text)
		if err != nil {
			return nil, err
		}
		prog, err := h.strings(s.prog)
		if err != nil {
			return nil, err
		}
		flags, err := h.number(s.flags, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, packages.Script{When: s.name + options(flags), Interpreter: interpreter(strings.Join(prog, " ")), Text: text})
	}
	for _, sort := range triggerSorts {
		some, err := sort.scripts(h)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// interpreter is what runs a script that does not say it.
func interpreter(prog string) string {
	if prog == "" {
		return "/bin/sh"
	}
	return prog
}

// options are those of rpm's scriptlets (rpmscriptFlags) that change the text.
func options(flags uint64) string {
	const expand, query = 1 << 0, 1 << 1
	var text string
	if flags&expand != 0 {
		text += " -e"
	}
	if flags&query != 0 {
		text += " -q"
	}
	return text
}

// scripts are one for each script, with all the conditions that refer to it.
func (s triggers) scripts(h *header) ([]packages.Script, error) {
	texts, err := h.strings(s.texts)
	if err != nil || len(texts) == 0 {
		return nil, err
	}
	per := columns{h: h, n: len(texts)}
	progs, flags := per.strings(s.progs, false), per.numbers(s.scriptFlags, false)
	if per.err != nil {
		return nil, per.err
	}
	conditions, err := relations(h, s.conditions, s.versions, s.senses)
	if err != nil {
		return nil, err
	}
	each := columns{h: h, n: len(conditions)}
	index := each.numbers(s.index, true)
	if each.err != nil {
		return nil, each.err
	}
	wants, moments := make([][]string, len(texts)), make([]string, len(texts))
	for i, c := range conditions {
		if index[i] >= uint64(len(texts)) {
			return nil, fmt.Errorf("tag %d refers to script %d of %d", s.index, index[i], len(texts))
		}
		wants[index[i]] = append(wants[index[i]], c.String())
		for _, m := range triggerMoments {
			if c.flags&m.flag != 0 {
				moments[index[i]] = m.name
			}
		}
	}
	var all []packages.Script
	for i, text := range texts {
		when := "%" + s.name + moments[i] + options(flags[i]) + " -- " + strings.Join(wants[i], ", ")
		all = append(all, packages.Script{When: when, Interpreter: interpreter(progs[i]), Text: text})
	}
	return all, nil
}
