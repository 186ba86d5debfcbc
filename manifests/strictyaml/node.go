package strictyaml

import (
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Kind is what a Node is.
type Kind int

// The kinds.
const (
	Null Kind = iota
	Scalar
	List
	Map
)

// Node is a value of a document whose shape is not fixed enough for Decode,
// such as a language of others in which a key takes a text or a list.
type Node struct {
	Position
	Kind   Kind
	Text   string // of a Scalar, as it was written but for quotes and escapes
	Quoted bool   // the Scalar is a text whatever it looks like
	Items  []*Node
	Pairs  []Pair
}

// Pair is a key of a Map and its value. No key is there twice.
type Pair struct {
	Position
	Key   string
	Value *Node
}

// Nodes reads data, whose name is used in faults, by the same rules as Decode
// but for the names of keys. The error is a *Faults. An empty document is Null.
func Nodes(name string, data []byte) (*Node, error) {
	d := &Document{name: name, positions: map[string]Position{}}
	root := d.parse(data)
	node := &Node{Position: Position{1, 1}}
	if root != nil {
		node = d.node(root, "")
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	return node, nil
}

func (d *Document) node(n ast.Node, path string) *Node {
	node := &Node{Position: at(n)}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.MappingNode:
		node.Kind = Map
		d.pairs(node, n.Values, path)
	case *ast.MappingValueNode:
		node.Kind = Map
		d.pairs(node, []*ast.MappingValueNode{n}, path)
	case *ast.SequenceNode:
		node.Kind = List
		for _, item := range n.Values {
			node.Items = append(node.Items, d.node(item, path))
		}
	default:
		text, ok := scalar(n)
		if !ok {
			d.unreadable(n, path, "anchors, aliases, merge keys and tags are not allowed here")
			return node
		}
		node.Kind, node.Text, node.Quoted = Scalar, text, quoted(n)
	}
	return node
}

func (d *Document) pairs(node *Node, values []*ast.MappingValueNode, path string) {
	d.eachPair(values, path, func(pair *ast.MappingValueNode, key, child string) {
		node.Pairs = append(node.Pairs, Pair{at(pair.Key), key, d.node(pair.Value, child)})
	})
}

func quoted(n ast.Node) bool {
	switch s := n.(type) {
	case *ast.LiteralNode:
		return true
	case *ast.StringNode:
		return s.Token != nil && (s.Token.Type == token.SingleQuoteType || s.Token.Type == token.DoubleQuoteType)
	}
	return false
}
