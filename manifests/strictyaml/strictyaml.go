// Package strictyaml reads a YAML document into Go values and reports every
// fault in it at once, each with its line and column.
//
// It is stricter than YAML: unknown and repeated keys, anchors, aliases, merge
// keys, explicit tags and a second document are faults. A scalar is given as
// text to a type that implements encoding.TextUnmarshaler, so each value is
// parsed once, by the type that it belongs to.
package strictyaml

import (
	"bytes"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// What a document may be at the most.
const (
	maxSize  = 256 << 10 // bytes
	maxDepth = 64        // nested collections
)

// Document knows where each value of a decoded document stood.
type Document struct {
	name      string
	faults    []Fault
	positions map[string]Position
	broken    []string // paths whose values could not be read
}

// Decode reads data, whose name is used in faults, into the struct that v
// points to. Fields are named by their yaml tag; a field without one, or with
// "-", is not read. A list whose tag ends in ",single" is also given by one value
// that stands alone. The Document takes further faults from checks that need
// the whole value; Err then gives all of them.
func Decode(name string, data []byte, v any) *Document {
	d := &Document{name: name, positions: map[string]Position{}}
	root := d.parse(data)
	if root == nil && len(d.faults) == 0 {
		d.fault(Position{1, 1}, "the document is empty")
	}
	if len(d.faults) > 0 {
		d.broken = append(d.broken, "")
		return d
	}
	d.decode(root, reflect.ValueOf(v).Elem(), "")
	return d
}

// Fault adds a fault at the value with the given path, such as
// "sources[1].tar"; a path that the document does not have counts as its
// nearest parent that it has. Nothing is added where the value could not be
// read, since that is a fault already.
func (d *Document) Fault(path, format string, args ...any) {
	for _, b := range d.broken {
		if b == "" || within(b, path) || within(path, b) {
			return
		}
	}
	for {
		if at, ok := d.positions[path]; ok {
			d.fault(at, format, args...)
			return
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	d.fault(Position{1, 1}, format, args...)
}

// Has reports whether the document gives a value for path, readable or not.
func (d *Document) Has(path string) bool {
	_, ok := d.positions[path]
	return ok
}

// within reports whether the value at path is the one at parent or a part of it.
func within(path, parent string) bool {
	rest, ok := strings.CutPrefix(path, parent)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Err is nil or a *Faults.
func (d *Document) Err() error {
	if len(d.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(d.faults, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &Faults{Name: d.name, Items: d.faults}
}

// unreadable adds a fault that leaves the value at path unset.
func (d *Document) unreadable(n ast.Node, path, format string, args ...any) {
	d.broken = append(d.broken, path)
	d.fault(at(n), "%s: %s", display(path), fmt.Sprintf(format, args...))
}

func (d *Document) fault(at Position, format string, args ...any) {
	d.faults = append(d.faults, Fault{at, fmt.Sprintf(format, args...)})
}

func (d *Document) parse(data []byte) ast.Node {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	switch {
	case len(data) > maxSize:
		d.fault(Position{1, 1}, "the document is %d bytes long: want at most %d", len(data), maxSize)
		return nil
	case nesting(data) > maxDepth:
		d.fault(Position{1, 1}, "the document is nested too deeply: want at most %d levels", maxDepth)
		return nil
	}
	if i := bytes.IndexFunc(data, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == '\ufffd' }); i >= 0 {
		line := 1 + bytes.Count(data[:i], []byte("\n"))
		d.fault(Position{line, i - bytes.LastIndexByte(data[:i], '\n')}, "a control character or a byte that is not UTF-8")
		return nil
	}
	// Repeated keys are ours to report, together with everything else.
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.fault(syntaxError(err))
		return nil
	}
	var root ast.Node
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			d.fault(at(doc.Body), "a second document: want one")
		}
		if i == 0 {
			root = doc.Body
		}
	}
	if _, empty := root.(*ast.NullNode); empty {
		return nil
	}
	if _, comment := root.(*ast.CommentGroupNode); comment {
		return nil
	}
	return root
}

// nesting bounds how deeply a parser can recurse on data: by flow collections,
// by "- - -" on one line, and by indentation.
func nesting(data []byte) int {
	deepest, open := 0, 0
	for line := range bytes.Lines(data) {
		column := 0
		for column < len(line) && (line[column] == ' ' || line[column] == '-' || line[column] == '?') {
			column++
		}
		deepest = max(deepest, column/2)
		for _, c := range line {
			switch c {
			case '[', '{':
				open++
			case ']', '}':
				open = max(0, open-1)
			}
		}
		deepest = max(deepest, open)
	}
	return deepest
}

// syntaxError takes the position and the message out of the parser's own
// error, whose text is meant for a terminal and spans lines.
func syntaxError(err error) (Position, string, any) {
	where, message := Position{1, 1}, err.Error()
	type positioned interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if p, ok := err.(positioned); ok {
		message = p.GetMessage()
		if t := p.GetToken(); t != nil && t.Position != nil {
			where = Position{t.Position.Line, t.Position.Column}
		}
	}
	first, _, _ := strings.Cut(message, "\n")
	return where, "not YAML: %s", first
}

// at is where n starts; a mapping's own token is its first colon.
func at(n ast.Node) Position {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return at(m.Values[0])
		}
	case *ast.MappingValueNode:
		return at(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return Position{t.Position.Line, t.Position.Column}
	}
	return Position{1, 1}
}

func (d *Document) decode(n ast.Node, v reflect.Value, path string) {
	if _, seen := d.positions[path]; !seen {
		d.positions[path] = at(n)
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		d.unreadable(n, path, "anchors, aliases, merge keys and tags are not allowed here")
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.decode(n, v.Elem(), path)
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		text, ok := scalar(n)
		if !ok {
			d.unreadable(n, path, "want a single value")
			return
		}
		if err := u.UnmarshalText([]byte(text)); err != nil {
			d.unreadable(n, path, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.decodeStruct(n, v, path)
	case reflect.Slice:
		d.decodeSlice(n, v, path)
	default:
		d.decodeScalar(n, v, path)
	}
}

func (d *Document) decodeStruct(n ast.Node, v reflect.Value, path string) {
	var pairs []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	default:
		d.unreadable(n, path, "want keys and values")
		return
	}
	fields, single := map[string]int{}, map[string]bool{}
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		single[name] = options == "single"
		if name != "" && name != "-" {
			fields[name] = i
		}
	}
	d.eachPair(pairs, path, func(pair *ast.MappingValueNode, key, child string) {
		index, known := fields[key]
		if !known {
			d.fault(at(pair.Key), "unknown key %q%s", key, knownKeys(path, fields))
			return
		}
		if _, null := pair.Value.(*ast.NullNode); null {
			d.positions[child] = at(pair.Key)
			d.unreadable(pair.Key, child, "the value is missing")
			return
		}
		field := v.Field(index)
		if _, alone := scalar(pair.Value); alone && single[key] {
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
			field = field.Index(0)
		}
		d.decode(pair.Value, field, child)
	})
}

// eachPair calls visit for each pair of a mapping at path with its key and the path of
// its value. A key that is not plain, or is there again, is a fault.
func (d *Document) eachPair(pairs []*ast.MappingValueNode, path string, visit func(pair *ast.MappingValueNode, key, child string)) {
	seen := map[string]Position{}
	for _, pair := range pairs {
		key, ok := scalar(pair.Key)
		where := at(pair.Key)
		if _, merge := pair.Key.(*ast.MergeKeyNode); merge || !ok {
			d.fault(where, "%s: want a plain key", display(path))
			continue
		}
		if before, repeated := seen[key]; repeated {
			d.fault(where, "key %q is repeated: it is also on line %d", key, before.Line)
			continue
		}
		seen[key] = where
		child := key
		if path != "" {
			child = path + "." + key
		}
		visit(pair, key, child)
	}
}

func (d *Document) decodeSlice(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.unreadable(n, path, "want a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values)))
	for i, item := range s.Values {
		d.decode(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (d *Document) decodeScalar(n ast.Node, v reflect.Value, path string) {
	text, ok := scalar(n)
	if !ok {
		d.unreadable(n, path, "want a single value")
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.unreadable(n, path, "%q: want true or false", text)
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int64:
		value, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			d.unreadable(n, path, "%q: want a whole number", text)
			return
		}
		v.SetInt(value)
	case reflect.Uint64:
		value, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			d.unreadable(n, path, "%q: want a whole number from 0 to %d", text, uint64(math.MaxUint64))
			return
		}
		v.SetUint(value)
	default:
		panic(fmt.Sprintf("strictyaml: no rule for %s at %s", v.Type(), path))
	}
}

// scalar is the text of a single value as it was written: 1.10 stays "1.10".
func scalar(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func display(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func knownKeys(path string, fields map[string]int) string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	where := ""
	if path != "" {
		where = " in " + path
	}
	return fmt.Sprintf("%s: want one of %s", where, strings.Join(names, ", "))
}
