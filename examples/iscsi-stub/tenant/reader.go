package tenant

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// reader goes through the syntax tree of a YAML document, and notes what it does not expect.
// It does not decode into tagged structs: a decoder stops at the first mistake, and its
// messages quote the lines around it, secrets included.
type reader struct {
	mistakes

	anchors     map[string]ast.Node
	inline      bool     // the file itself has secrets
	secretFiles []string // or says where they are
}

// field is a key that a mapping may have, and what reads its value.
type field struct {
	key  string
	read func(ast.Node)
	must bool // the mapping is wrong without it
}

// must marks a field that may not be left out.
func must(f field) field {
	f.must = true
	return f
}

// document is the one document that a file consists of; nil, and a mistake noted, without.
func (r *reader) document(text []byte) ast.Node {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		r.syntax(err)
		return nil
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		r.add(position{}, "the file is empty")
		return nil
	case 1:
		r.anchors = make(map[string]ast.Node)
		ast.Walk(r, bodies[0])
		return bodies[0]
	}
	r.add(at(bodies[1]), "a second document begins here; there can be one only")
	return nil
}

// quoted is what the parser quotes of the file.
var quoted = regexp.MustCompile(`(?s):? *["'\x60].*`)

// syntax notes what the parser says, but for the lines around it, secrets and all.
func (r *reader) syntax(err error) {
	var bad yaml.Error
	if !errors.As(err, &bad) || bad.GetToken() == nil {
		r.add(position{}, "this is no YAML")
		return
	}
	p := bad.GetToken().Position
	said := quoted.ReplaceAllString(bad.GetMessage(), "")
	switch {
	case strings.HasPrefix(strings.TrimSpace(said), "found character") && strings.Contains(bad.GetToken().Value, "\t"):
		said = "a tab, by which YAML can't be indented"
	case strings.Contains(bad.GetMessage(), "already defined"):
		said = "this key is there already"
	case said == "":
		said = "this is no YAML"
	}
	r.add(position{p.Line, p.Column}, "%s", said)
}

// Visit collects anchors, for [ast.Walk].
func (r *reader) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		r.anchors[anchor.Name.GetToken().Value] = anchor.Value
	}
	return r
}

// resolve follows anchors and aliases. An alias inside its own anchor ends where the keys
// that are known do.
func (r *reader) resolve(n ast.Node) ast.Node {
	for range 16 {
		switch node := n.(type) {
		case *ast.AnchorNode:
			n = node.Value
		case *ast.AliasNode:
			n = r.anchors[node.Value.GetToken().Value]
		default:
			return n
		}
	}
	return nil
}

// at is where a node begins.
func at(n ast.Node) position {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		n = anchor.Value
	}
	if m, ok := n.(ast.MapNode); ok {
		if it := m.MapRange(); it.Next() {
			n = it.Key()
		}
	}
	if n == nil || n.GetToken() == nil {
		return position{}
	}
	p := n.GetToken().Position
	return position{p.Line, p.Column}
}

// mapping reads the fields that a mapping has, in the order in which they are given, so
// that one may rely on those before it.
func (r *reader) mapping(n ast.Node, what string, fields ...field) {
	m, ok := r.resolve(n).(ast.MapNode)
	if !ok {
		r.add(at(n), "%s is a mapping of %s", what, keys(fields))
		return
	}
	values := make(map[string]ast.Node)
	for it := m.MapRange(); it.Next(); {
		key := it.Key().GetToken().Value
		values[key] = it.Value()
		if !slices.ContainsFunc(fields, func(f field) bool { return f.key == key }) {
			r.add(at(it.Key()), "%s is no key of %s, which has %s", shown(key, fields), what, keys(fields))
		}
	}
	for _, f := range fields {
		value, ok := values[f.key]
		switch {
		case ok:
			f.read(value)
		case f.must:
			r.add(at(n), "%s lacks its %s", what, f.key)
		}
	}
}

// shown is a key that is unknown, unless it may be a secret: what should have been a value is
// one without the space behind its colon, or in its place.
func shown(key string, fields []field) string {
	if slices.ContainsFunc(fields, func(f field) bool { return f.key == "secret" }) {
		return "this"
	}
	before, _, _ := strings.Cut(key, ":")
	return strconv.Quote(before)
}

func keys(fields []field) string {
	var all []string
	for _, f := range fields {
		all = append(all, f.key)
	}
	return strings.Join(all, ", ")
}

// pairs reads a mapping whose keys are data.
func (r *reader) pairs(n ast.Node, what string, read func(key, value ast.Node)) {
	m, ok := r.resolve(n).(ast.MapNode)
	if !ok {
		r.add(at(n), "%s", what)
		return
	}
	for it := m.MapRange(); it.Next(); {
		read(it.Key(), it.Value())
	}
}

// list reads the items of a sequence. What stands alone is a list of one.
func (r *reader) list(n ast.Node, read func(ast.Node)) {
	sequence, ok := r.resolve(n).(*ast.SequenceNode)
	if !ok {
		read(n)
		return
	}
	for _, item := range sequence.Values {
		read(item)
	}
}

// scalar is the text of a value, also where YAML takes it for a number or a truth value.
func (r *reader) scalar(n ast.Node) (string, bool) {
	switch node := r.resolve(n).(type) {
	case *ast.StringNode:
		return node.Value, true
	case *ast.LiteralNode:
		return node.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return node.GetToken().Value, true
	}
	return "", false
}

// value is a field that parse understands, or is a mistake: the sentence "KEY is WANT".
func value[T any](r *reader, key, want string, to *T, parse func(string) (T, bool)) field {
	return field{key: key, read: func(n ast.Node) { readValue(r, n, key, want, to, parse) }}
}

func readValue[T any](r *reader, n ast.Node, key, want string, to *T, parse func(string) (T, bool)) {
	text, ok := r.scalar(n)
	var v T
	if ok {
		v, ok = parse(text)
	}
	if !ok {
		r.add(at(n), "%s is %s", key, want)
		return
	}
	*to = v
}

// oneOf is a field that has one of a few words.
func oneOf[T any](r *reader, key string, to *T, words map[string]T) field {
	names := slices.Sorted(maps.Keys(words))
	return value(r, key, strings.Join(names, " or "), to, func(s string) (T, bool) {
		v, ok := words[s]
		return v, ok
	})
}
