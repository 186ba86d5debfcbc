package document

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-os/proa/hostconfig/plan"
	"github.com/proa-os/proa/manifests/strictyaml"
)

// Reader collects the faults of a document.
type Reader struct {
	name   string
	faults []strictyaml.Fault
}

// NewReader begins to read the document that faults call name.
func NewReader(name string) *Reader { return &Reader{name: name} }

// Fault adds a fault at a place.
func (r *Reader) Fault(at plan.Place, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if at.Key != "" {
		text = at.Key + ": " + text
	}
	r.faults = append(r.faults, strictyaml.Fault{Position: at.Position, Message: text})
}

// Err is nil or a *strictyaml.Faults with all of them, in their order.
func (r *Reader) Err() error {
	if len(r.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(r.faults, func(a, b strictyaml.Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &strictyaml.Faults{Name: r.name, Items: r.faults}
}

// Value is a node and its place.
type Value struct {
	plan.Place
	reader *Reader
	node   *strictyaml.Node
}

// Root is the value of the whole document.
func (r *Reader) Root(n *strictyaml.Node) Value {
	return Value{plan.Place{Position: n.Position}, r, n}
}

// Fault adds a fault at the value.
func (v Value) Fault(format string, args ...any) { v.reader.Fault(v.Place, format, args...) }

// There reports whether there is a value at all; null is none.
func (v Value) There() bool { return v.node != nil && v.node.Kind != strictyaml.Null }

// Kind is what the value is.
func (v Value) Kind() strictyaml.Kind {
	if v.node == nil {
		return strictyaml.Null
	}
	return v.node.Kind
}

// Text is the text of a single value, and empty for none.
func (v Value) Text() string {
	switch {
	case !v.There():
		return ""
	case v.node.Kind != strictyaml.Scalar:
		v.Fault("want a text")
		return ""
	case strings.ContainsRune(v.node.Text, 0):
		v.Fault("want a text without NUL")
		return ""
	}
	return v.node.Text
}

// Quoted reports whether a single value was written as a text.
func (v Value) Quoted() bool { return v.There() && v.node.Quoted }

// Bool is nil for no value.
func (v Value) Bool() *bool {
	if !v.There() {
		return nil
	}
	if v.node.Kind == strictyaml.Scalar && !v.node.Quoted {
		// As in YAML 1.1, which cloud-config is written in.
		switch strings.ToLower(v.node.Text) {
		case "true", "yes", "on":
			yes := true
			return &yes
		case "false", "no", "off":
			no := false
			return &no
		}
	}
	v.Fault("want true or false")
	return nil
}

// Is reports whether the value is true; none is not.
func (v Value) Is() bool {
	b := v.Bool()
	return b != nil && *b
}

// Checked is a text that passes a check, and empty for none and after a fault.
func (v Value) Checked(check func(string) error) string {
	text := v.Text()
	if text == "" {
		if v.There() && v.Kind() == strictyaml.Scalar {
			v.Fault("is empty")
		}
		return ""
	}
	if err := check(text); err != nil {
		v.Fault("%v", err)
		return ""
	}
	return text
}

// Field is a text that fits into a line of passwd(5), and nil for none.
func (v Value) Field() *string {
	if !v.There() {
		return nil
	}
	text := v.Text()
	if err := plan.CheckField(text); err != nil {
		v.Fault("%v", err)
	}
	return &text
}

// Number is a whole number from 0 to most, and nil for no value.
func (v Value) Number(most uint32) *uint32 {
	if !v.There() {
		return nil
	}
	if v.node.Kind == strictyaml.Scalar && !v.node.Quoted {
		n, err := strconv.ParseUint(v.node.Text, 10, 32)
		if err == nil && uint32(n) <= most && (n == 0 || v.node.Text[0] != '0') {
			small := uint32(n)
			return &small
		}
	}
	v.Fault("want a whole number from 0 to %d", most)
	return nil
}

// Items are the values of a list.
func (v Value) Items() []Value {
	if !v.There() {
		return nil
	}
	if v.node.Kind != strictyaml.List {
		v.Fault("want a list")
		return nil
	}
	var items []Value
	for i, item := range v.node.Items {
		items = append(items, Value{plan.Place{Position: item.Position, Key: fmt.Sprintf("%s[%d]", v.Key, i)}, v.reader, item})
	}
	return items
}

// Texts are the texts of a list.
func (v Value) Texts() []string {
	var texts []string
	for _, item := range v.Items() {
		if !item.There() {
			item.Fault("want a text")
			continue
		}
		texts = append(texts, item.Text())
	}
	return texts
}

// Object is a value with keys. Take what is known, and call End.
type Object struct {
	Value
	taken map[string]bool
}

// Object reads the value as one with keys; that of no value has none.
func (v Value) Object() *Object {
	if v.There() && v.node.Kind != strictyaml.Map {
		v.Fault("want keys and values")
		v.node = nil
	}
	return &Object{v, map[string]bool{}}
}

func (o *Object) pair(key string) (strictyaml.Pair, bool) {
	if o.node == nil {
		return strictyaml.Pair{}, false
	}
	for _, p := range o.node.Pairs {
		if p.Key == key {
			return p, true
		}
	}
	return strictyaml.Pair{}, false
}

func (o *Object) child(key string) string {
	if o.Key == "" {
		return key
	}
	return o.Key + "." + key
}

// Take is the value of a key.
func (o *Object) Take(key string) Value {
	o.taken[key] = true
	p, ok := o.pair(key)
	if !ok {
		return Value{plan.Place{Position: o.Position, Key: o.child(key)}, o.reader, nil}
	}
	return Value{plan.Place{Position: p.Position, Key: o.child(key)}, o.reader, p.Value}
}

// Keys are the names of all keys, in their order.
func (o *Object) Keys() []string {
	var keys []string
	if o.node != nil {
		for _, p := range o.node.Pairs {
			keys = append(keys, p.Key)
		}
	}
	return keys
}

// Want is Take for a key that must be there.
func (o *Object) Want(key string) Value {
	v := o.Take(key)
	if !v.There() && (o.node != nil || o.Key != "") {
		o.reader.Fault(v.Place, "is missing")
	}
	return v
}

// Refuse says why keys that the language has are not for this machine. One
// without a value asks for nothing and is no fault.
func (o *Object) Refuse(why string, keys ...string) {
	for _, key := range keys {
		if v := o.Take(key); !v.empty() {
			v.Fault("%s", why)
		}
	}
}

// empty reports whether a value says nothing at all, at whatever depth.
func (v Value) empty() bool { return !v.There() || says(v.node) == 0 }

func says(n *strictyaml.Node) int {
	switch n.Kind {
	case strictyaml.Scalar:
		return 1
	case strictyaml.List:
		return len(n.Items)
	}
	sum := 0
	for _, p := range n.Pairs {
		sum += says(p.Value)
	}
	return sum
}

// End reports the keys that were not taken.
func (o *Object) End() {
	if o.node == nil {
		return
	}
	for _, p := range o.node.Pairs {
		if !o.taken[p.Key] {
			o.reader.Fault(plan.Place{Position: p.Position, Key: o.child(p.Key)}, "there is no such key")
		}
	}
}
