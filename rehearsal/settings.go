package rehearsal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/proa-os/proa/hostconfig"
	"github.com/proa-os/proa/hostconfig/cloudconfig"
	"github.com/proa-os/proa/manifests/strictyaml"
)

// addedFile is a file that is added to a machine's configuration.
type addedFile struct {
	mode    int
	content []byte
}

// checkFolder is where the agent looks for executables that are health checks.
const checkFolder = "/etc/proa/health.d/"

// addChecks adds the executables of checks.
func addChecks(files map[string]addedFile, checks []Check) {
	for _, c := range checks {
		files[checkFolder+"zz-"+c.Name] = addedFile{0o755, []byte("#!/bin/sh\n" + c.Command + "\n")}
	}
}

// withFiles is a configuration of the machine's owner, or none, that writes some
// more files, by their absolute path.
func withFiles(owner []byte, files map[string]addedFile) (all []byte, err error) {
	if owner != nil {
		if _, err := hostconfig.Parse("configuration", owner); err != nil {
			return nil, err
		}
	}
	switch text := bytes.TrimLeft(bytes.TrimPrefix(owner, []byte("\xef\xbb\xbf")), " \t\r\n"); {
	case owner == nil:
		all, err = ignitionWith([]byte(`{"ignition": {"version": "3.0.0"}}`), files)
	case bytes.HasPrefix(text, []byte("{")):
		all, err = ignitionWith(text, files)
	default:
		all, err = cloudConfigWith(owner, files)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if _, err := hostconfig.Parse("configuration with what the rehearsal adds", all); err != nil {
		return nil, err
	}
	return all, nil
}

func ignitionWith(owner []byte, files map[string]addedFile) ([]byte, error) {
	var document map[string]any
	in := json.NewDecoder(bytes.NewReader(owner))
	in.UseNumber()
	if err := in.Decode(&document); err != nil {
		return nil, err
	}
	storage, err := member[map[string]any](document, "storage")
	if err != nil {
		return nil, err
	}
	list, err := member[[]any](storage, "files")
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		list = append(list, map[string]any{
			"path": path, "mode": files[path].mode, "overwrite": true,
			"contents": map[string]any{"source": "data:;base64," + base64.StdEncoding.EncodeToString(files[path].content)},
		})
	}
	if storage == nil {
		storage = map[string]any{}
	}
	storage["files"], document["storage"] = list, storage
	return json.Marshal(document)
}

// member is what an object has under a key, or nothing.
func member[T any](object map[string]any, key string) (T, error) {
	value, ok := object[key].(T)
	if !ok && object[key] != nil {
		return value, fmt.Errorf("%s: want %T", key, value)
	}
	return value, nil
}

func cloudConfigWith(owner []byte, files map[string]addedFile) ([]byte, error) {
	root, err := strictyaml.Nodes("configuration", owner)
	if err != nil {
		return nil, err
	}
	if root.Kind == strictyaml.Null {
		root = &strictyaml.Node{Kind: strictyaml.Map}
	}
	at := slices.IndexFunc(root.Pairs, func(p strictyaml.Pair) bool { return p.Key == "write_files" })
	if at < 0 || root.Pairs[at].Value.Kind == strictyaml.Null {
		root.Pairs = append(slices.Delete(root.Pairs, max(at, 0), at+1), strictyaml.Pair{Key: "write_files", Value: &strictyaml.Node{Kind: strictyaml.List}})
		at = len(root.Pairs) - 1
	}
	list := root.Pairs[at].Value
	if root.Kind != strictyaml.Map || list.Kind != strictyaml.List {
		return nil, errors.New("cloud-config: want keys and values, and a list as write_files")
	}
	text := func(s string) *strictyaml.Node {
		return &strictyaml.Node{Kind: strictyaml.Scalar, Text: s, Quoted: true}
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		list.Items = append(list.Items, &strictyaml.Node{Kind: strictyaml.Map, Pairs: []strictyaml.Pair{
			{Key: "path", Value: text(path)},
			{Key: "permissions", Value: text(fmt.Sprintf("%#o", files[path].mode))},
			{Key: "encoding", Value: text("b64")},
			{Key: "content", Value: text(base64.StdEncoding.EncodeToString(files[path].content))},
		}})
	}
	out := bytes.NewBufferString(cloudconfig.Header + "\n")
	err = writeYAML(out, root)
	return append(out.Bytes(), '\n'), err
}

// word is a scalar that may stand without quotes anywhere.
var word = regexp.MustCompile(`^[+-]?[A-Za-z0-9][A-Za-z0-9_.+-]*$`)

// writeYAML writes a value in the flow style, such that it is read again as the
// same: what was written with quotes, and what needs them, has quotes.
func writeYAML(out *bytes.Buffer, n *strictyaml.Node) error {
	switch n.Kind {
	case strictyaml.List:
		out.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				out.WriteString(", ")
			}
			if err := writeYAML(out, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case strictyaml.Map:
		out.WriteByte('{')
		for i, p := range n.Pairs {
			if i > 0 {
				out.WriteString(", ")
			}
			key, err := json.Marshal(p.Key)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s: ", key)
			if err := writeYAML(out, p.Value); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	case strictyaml.Scalar:
		if !n.Quoted && word.MatchString(n.Text) {
			out.WriteString(n.Text)
			return nil
		}
		text, err := json.Marshal(n.Text)
		out.Write(text)
		return err
	default:
		out.WriteString("null")
	}
	return nil
}
