// Package document reads the two notations of host configurations, JSON and
// YAML, into the same nodes, and helps to read these strictly: every key is
// either taken, refused with a reason, or unknown, and every fault of a document
// is reported at once with line, column and key.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/proa-os/proa/manifests/strictyaml"
)

const mostDepth = 64

// JSON reads data, whose name is used in faults, into nodes. It refuses what two
// parsers could read differently: bytes that are not UTF-8, a key twice in an
// object, anything after the value. The error is a *strictyaml.Faults.
func JSON(name string, data []byte) (*strictyaml.Node, error) {
	p := &jsonParser{data: data, in: json.NewDecoder(bytes.NewReader(data))}
	p.in.UseNumber()
	fault := func(at int64, format string, args ...any) error {
		return &strictyaml.Faults{Name: name, Items: []strictyaml.Fault{{Position: p.position(at), Message: fmt.Sprintf(format, args...)}}}
	}
	if at := firstInvalid(data); at >= 0 {
		return nil, fault(int64(at), "a byte that is not UTF-8")
	}
	node, err := p.value(0)
	var syntax *json.SyntaxError
	var bad *jsonFault
	switch {
	case errors.As(err, &bad):
		return nil, fault(bad.at, "%s", bad.message)
	case errors.As(err, &syntax):
		return nil, fault(max(syntax.Offset-1, 0), "not JSON: %v", err)
	case err != nil:
		return nil, fault(int64(len(data)), "not JSON: it ends too early")
	}
	if rest := bytes.TrimLeft(data[p.in.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, fault(int64(len(data)-len(rest)), "something follows the end of the JSON value")
	}
	return node, nil
}

func firstInvalid(data []byte) int {
	for at := 0; at < len(data); {
		r, n := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && n == 1 {
			return at
		}
		at += n
	}
	return -1
}

// jsonFault is a fault that encoding/json does not see.
type jsonFault struct {
	at      int64
	message string
}

func (f *jsonFault) Error() string { return f.message }

type jsonParser struct {
	data []byte
	in   *json.Decoder

	// Positions are asked for in order: counting goes on from the last one.
	counted int64
	line    int
	start   int64 // of the line
}

// position turns an offset into line and column, in bytes.
func (p *jsonParser) position(at int64) strictyaml.Position {
	if at < p.counted {
		p.counted, p.line, p.start = 0, 0, 0
	}
	for ; p.counted < at && p.counted < int64(len(p.data)); p.counted++ {
		if p.data[p.counted] == '\n' {
			p.line, p.start = p.line+1, p.counted+1
		}
	}
	return strictyaml.Position{Line: p.line + 1, Column: int(at-p.start) + 1}
}

// next is where the next token begins.
func (p *jsonParser) next() int64 {
	at := p.in.InputOffset()
	for at < int64(len(p.data)) && bytes.IndexByte([]byte(" \t\r\n,:"), p.data[at]) >= 0 {
		at++
	}
	return at
}

func (p *jsonParser) value(depth int) (*strictyaml.Node, error) {
	at := p.next()
	node := &strictyaml.Node{Position: p.position(at)}
	if depth > mostDepth {
		return nil, &jsonFault{at, fmt.Sprintf("nested over %d levels", mostDepth)}
	}
	token, err := p.in.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case nil:
	case bool:
		node.Kind, node.Text = strictyaml.Scalar, fmt.Sprint(token)
	case json.Number:
		node.Kind, node.Text = strictyaml.Scalar, token.String()
	case string:
		node.Kind, node.Text, node.Quoted = strictyaml.Scalar, token, true
	case json.Delim:
		if token == '{' {
			return node, p.object(node, depth)
		}
		node.Kind = strictyaml.List
		for p.in.More() {
			item, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			node.Items = append(node.Items, item)
		}
		_, err = p.in.Token() // the bracket
	}
	return node, err
}

func (p *jsonParser) object(node *strictyaml.Node, depth int) error {
	node.Kind = strictyaml.Map
	seen := map[string]bool{}
	for p.in.More() {
		at := p.next()
		where := p.position(at)
		token, err := p.in.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok || seen[key] {
			return &jsonFault{at, fmt.Sprintf("key %.80q: want it once in an object", fmt.Sprint(token))}
		}
		seen[key] = true
		value, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		node.Pairs = append(node.Pairs, strictyaml.Pair{Position: where, Key: key, Value: value})
	}
	_, err := p.in.Token() // the brace
	return err
}
