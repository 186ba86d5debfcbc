package cloudconfig

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/proa-os/proa/hostconfig/document"
	"github.com/proa-os/proa/hostconfig/plan"
)

// files are those of write_files, each of which replaces a file or link that is
// there.
func (r *reader) files(list document.Value) {
	seen := map[string]bool{}
	for _, item := range list.Items() {
		o := item.Object()
		at := o.Want("path")
		f := plan.File{Node: plan.Node{Place: item.Place, Path: text(at, plan.CheckPath).Value, Overwrite: true, NoFolder: true}}
		if seen[f.Path] {
			at.Fault("%q is there twice", f.Path)
		}
		seen[f.Path] = true
		f.Mode = permissions(o.Take("permissions"))
		f.User, f.Group = owner(o.Take("owner"))
		content, encoding := o.Take("content"), o.Take("encoding")
		data, err := r.decode(content.Text(), encoding.Text())
		if err != nil {
			content.Fault("%v", err)
		}
		if f.Contents = data; o.Take("append").Is() {
			f.Contents, f.Append, f.Overwrite = nil, data, false
		}
		o.Take("defer").Bool() // users are there before files in any case
		o.Refuse("there is no network yet when a machine is configured: want content", "source")
		o.End()
		r.plan.Files = append(r.plan.Files, f)
	}
	r.plan.Crossings(r.Fault)
}

// permissions are octal digits. YAML reads a number without quotes as octal only
// if it begins with 0, so one that does not is a mistake.
func permissions(v document.Value) *uint32 {
	mode := uint32(0o644)
	if !v.There() {
		return &mode
	}
	word := v.Text()
	n, err := strconv.ParseUint(strings.TrimPrefix(word, "0o"), 8, 32)
	if err != nil || n > 0o7777 || !v.Quoted() && !strings.HasPrefix(word, "0") {
		v.Fault("%.20q: want octal digits in quotes, such as '0644'", word)
		return &mode
	}
	mode = uint32(n)
	return &mode
}

// owner is USER or USER:GROUP.
func owner(v document.Value) (user, group plan.Owner) {
	word := v.Text()
	if word == "" {
		return user, group
	}
	names := strings.Split(word, ":")
	if len(names) > 2 {
		v.Fault("%.60q: want USER:GROUP", word)
		return user, group
	}
	for i, name := range names {
		if name == "" {
			continue
		}
		who := plan.Owner{Name: name}
		if n, err := strconv.ParseUint(name, 10, 32); err == nil && n <= plan.MostID {
			id := uint32(n)
			who = plan.Owner{ID: &id}
		} else if err := plan.CheckAccount(name); err != nil {
			v.Fault("%v", err)
		}
		if i == 0 {
			user = who
		} else {
			group = who
		}
	}
	return user, group
}

// decode is the content by its encoding, never nil.
func (r *reader) decode(content, encoding string) ([]byte, error) {
	data := []byte(content)
	var err error
	switch strings.ToLower(encoding) {
	case "", "text/plain":
	case "b64", "base64":
		data, err = decodeBase64(content)
	case "gz", "gzip", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64":
		// Bytes of gzip are no text: without base64 YAML could not hold them.
		if data, err = decodeBase64(content); err == nil {
			data, err = r.budget.Gunzip(data)
		}
	default:
		return nil, fmt.Errorf("encoding %.40q: want b64, gz+b64 or text/plain", encoding)
	}
	if err != nil {
		return nil, err
	}
	return append([]byte{}, data...), r.budget.Take(len(data))
}

func decodeBase64(content string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(content), ""))
	if err != nil {
		return nil, fmt.Errorf("not base64: %w", err)
	}
	return data, nil
}
