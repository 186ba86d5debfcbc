package ignition

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"

	"github.com/proa-os/proa/hostconfig/document"
	"github.com/proa-os/proa/hostconfig/plan"
)

const layout = "the disk's partitions are the release's, made when it is installed"

func (r *reader) storage(o *document.Object) {
	r.filesystems(o.Take("filesystems"))
	o.Refuse(layout, "disks", "raid")
	o.Refuse("give varEncryption to the recipe", "luks")
	seen := map[string]bool{} // no two of files, folders and links have the same path
	for _, item := range o.Take("directories").Items() {
		d := item.Object()
		r.plan.Folders = append(r.plan.Folders, plan.Folder{Node: r.node(d, seen), Mode: r.mode(d.Take("mode"))})
		d.End()
	}
	for _, item := range o.Take("files").Items() {
		f := item.Object()
		file := plan.File{Node: r.node(f, seen), Mode: r.mode(f.Take("mode")), Contents: r.contents(f.Take("contents"))}
		for _, more := range f.Take("append").Items() {
			part := r.contents(more)
			if part == nil {
				more.Fault("want a source")
			}
			file.Append = append(file.Append, part...)
		}
		if file.Overwrite && file.Contents == nil {
			item.Fault("overwrite: want contents.source with it")
		}
		f.End()
		r.plan.Files = append(r.plan.Files, file)
	}
	for _, item := range o.Take("links").Items() {
		l := item.Object()
		target := l.Want("target")
		link := plan.Link{Node: r.node(l, seen), Target: target.Text(), Hard: l.Take("hard").Is()}
		if link.Hard {
			if err := plan.CheckPath(link.Target); err != nil && link.Target != "" {
				target.Fault("%v", err)
			}
		} else if len(link.Target) > 4095 || strings.ContainsFunc(link.Target, unicode.IsControl) {
			target.Fault("want at most 4095 bytes without control characters")
		}
		l.End()
		r.plan.Links = append(r.plan.Links, link)
	}
	r.plan.Crossings(r.Fault)
	o.End()
}

func (r *reader) node(o *document.Object, seen map[string]bool) plan.Node {
	p := o.Want("path")
	n := plan.Node{
		Place: o.Place, Path: p.Checked(plan.CheckPath), Overwrite: o.Take("overwrite").Is(),
		User: owner(o.Take("user")), Group: owner(o.Take("group")),
	}
	r.unique(seen, p, n.Path)
	return n
}

func owner(v document.Value) plan.Owner {
	o := v.Object()
	who := plan.Owner{ID: o.Take("id").Number(plan.MostID), Name: o.Take("name").Checked(plan.CheckAccount)}
	if who.ID != nil && who.Name != "" {
		v.Fault("want an id or a name")
	}
	o.End()
	return who
}

func (r *reader) mode(v document.Value) *uint32 {
	mode := v.Number(0o7777)
	const special = 4 // the version that began to have these bits
	if mode != nil && *mode&^0o777 != 0 && r.minor < special {
		v.Fault("%d has special bits (setuid, setgid, sticky): want version 3.%d.0 for them", *mode, special)
	}
	return mode
}

// contents is nil where there is no source.
func (r *reader) contents(v document.Value) []byte {
	o := v.Object()
	source, compression := o.Take("source"), o.Take("compression")
	verification := o.Take("verification").Object()
	hash := verification.Take("hash")
	verification.End()
	o.Refuse("nothing is fetched", "httpHeaders")
	o.End()
	packed := compression.Text()
	if packed != "" && packed != "gzip" {
		compression.Fault("%.40q: want gzip or nothing", packed)
		return nil
	}
	if !source.There() {
		return nil
	}
	data, err := decodeDataURL(orData(source.Text()))
	if err == nil && packed == "gzip" {
		data, err = r.budget.Gunzip(data)
	}
	if err == nil {
		err = r.budget.Take(len(data))
	}
	if err != nil {
		source.Fault("%v", err)
		return nil
	}
	if err := verify(hash.Text(), data); err != nil {
		hash.Fault("%v", err)
	}
	return append([]byte{}, data...)
}

// orData is the URL of an empty file for an empty source, as Ignition has it.
func orData(source string) string {
	if source == "" {
		return "data:,"
	}
	return source
}

func verify(want string, data []byte) error {
	if want == "" {
		return nil
	}
	kind, value, _ := strings.Cut(want, "-")
	var sum []byte
	switch kind {
	case "sha256":
		h := sha256.Sum256(data)
		sum = h[:]
	case "sha512":
		h := sha512.Sum512(data)
		sum = h[:]
	default:
		return fmt.Errorf("%.40q: want sha256- or sha512- and hex digits", want)
	}
	if got := hex.EncodeToString(sum); !strings.EqualFold(got, value) {
		return fmt.Errorf("the contents have %s-%s: want %.140s", kind, got, want)
	}
	return nil
}

// filesystems takes the one that every machine has: var, as it is made at the
// first boot.
func (r *reader) filesystems(list document.Value) {
	for _, item := range list.Items() {
		o := item.Object()
		device, format, at, label := o.Want("device"), o.Want("format"), o.Take("path"), o.Take("label")
		switch text := device.Text(); text {
		case "", "/dev/disk/by-partlabel/var", "/dev/disk/by-label/var":
		default:
			device.Fault("%.80q: %s: want /dev/disk/by-partlabel/var or nothing", text, layout)
		}
		if text := format.Text(); text != "ext4" && text != "" {
			format.Fault("%.40q: var is ext4", text)
		}
		if text := at.Text(); text != "/var" && text != "" {
			at.Fault("%.80q: var is at /var", text)
		}
		if text := label.Text(); text != "var" && text != "" {
			label.Fault("%.40q: its label is var", text)
		}
		if wipe := o.Take("wipeFilesystem"); wipe.Is() {
			wipe.Fault("var is made at the first boot and never wiped by a configuration: see 'proa-agent factory-reset'")
		}
		o.Refuse("var is made at the first boot, as the release has it", "uuid", "options", "mountOptions")
		o.End()
	}
}
