// Package rpmtest makes RPM packages in memory for tests, also such as rpmbuild
// would not make.
package rpmtest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
)

// File is a file of a package.
type File struct {
	Path        string // absolute
	Mode        uint64 // with its kind; usually 0100644
	Body        string
	Target      string // of a symbolic link
	User, Group string // usually root
	Flags       uint64
	Device      uint64
	Inode       uint64 // usually its own
	Caps        string
	Digest      string // usually the body's SHA-256
	Size        uint64 // usually the body's or target's
}

// Package is what a package is made of. What is not given is usual.
type Package struct {
	Name, Version, Release, Arch string
	Files                        []File
	Payload                      []byte              // the archive; usually one that goes with the files
	Compress                     func([]byte) []byte // usually gzip
	More                         []Value             // of the header, instead of usual ones of the same tag
	Without                      []uint32            // tags that the header does not have
	Header                       func([]byte) []byte // changes the header before it is signed
	Signatures                   []Value             // of the signature header, instead of a good one
}

// Build is the package's file, signed by sign over the header; not at all if
// sign is nil.
func (p Package) Build(sign func(signed []byte) []byte) []byte {
	payload := p.Payload
	if payload == nil {
		payload = Payload(p.Files...)
	}
	if p.Compress == nil {
		p.Compress = Gzip
	}
	packed := p.Compress(payload)
	header := Header(63, p.values(packed)...)
	if p.Header != nil {
		header = p.Header(header)
	}
	signatures := p.Signatures
	if signatures == nil && sign != nil {
		signatures = []Value{Bytes(268, sign(header))}
	}
	lead := make([]byte, 96)
	copy(lead, "\xed\xab\xee\xdb\x03\x00\x00\x00\x00\x01")
	copy(lead[10:76], p.Name)
	lead[77], lead[79] = 1, 5
	first := slices.Concat(lead, Header(62, append(signatures, Bytes(1008, make([]byte, 16)))...))
	first = append(first, make([]byte, (8-len(first)%8)%8)...)
	return slices.Concat(first, header, packed)
}

// values are those of the header, with More and Without.
func (p Package) values(packed []byte) []Value {
	sum := sha256.Sum256(packed)
	usual := []Value{
		Words(100, "C"), Word(1000, or(p.Name, "hostile")), Word(1001, or(p.Version, "1")), Word(1002, or(p.Release, "1")),
		Word(1014, "MIT"), Word(1022, or(p.Arch, "noarch")), Word(1044, or(p.Name, "hostile")+"-1-1.src.rpm"),
		Word(1124, "cpio"), Word(1125, "gzip"), Words(5092, hex.EncodeToString(sum[:])), Numbers(5093, Int32, 8),
	}
	if len(p.Files) > 0 {
		usual = append(usual, fileValues(p.Files)...)
	}
	replaced := func(v Value) bool {
		return slices.Contains(p.Without, v.Tag) || slices.ContainsFunc(p.More, func(m Value) bool { return m.Tag == v.Tag })
	}
	return append(slices.DeleteFunc(usual, replaced), p.More...)
}

func or(s, usual string) string {
	if s == "" {
		return usual
	}
	return s
}

func fileValues(files []File) []Value {
	var sizes, modes, devices, flags, inodes, ones, index []uint64
	var digests, targets, users, groups, names, directories, caps []string
	for i, f := range files {
		f = f.usual(i)
		directory, name := path.Split(f.Path)
		at := slices.Index(directories, directory)
		if at < 0 {
			at, directories = len(directories), append(directories, directory)
		}
		sizes, modes, devices, flags = append(sizes, f.Size), append(modes, f.Mode), append(devices, f.Device), append(flags, f.Flags)
		inodes, ones, index = append(inodes, f.Inode), append(ones, 1), append(index, uint64(at))
		digests, targets = append(digests, f.Digest), append(targets, f.Target)
		users, groups, names, caps = append(users, f.User), append(groups, f.Group), append(names, name), append(caps, f.Caps)
	}
	return []Value{
		Numbers(1028, Int32, sizes...), Numbers(1030, Int16, modes...), Numbers(1033, Int16, devices...), Words(1035, digests...),
		Words(1036, targets...), Numbers(1037, Int32, flags...), Words(1039, users...), Words(1040, groups...),
		Numbers(1095, Int32, ones...), Numbers(1096, Int32, inodes...), Numbers(1116, Int32, index...), Words(1117, names...),
		Words(1118, directories...), Words(5010, caps...), Numbers(5011, Int32, 8),
	}
}

// usual fills in what is not given.
func (f File) usual(i int) File {
	if f.Mode == 0 {
		f.Mode = 0o100644
	}
	if f.Inode == 0 {
		f.Inode = uint64(i + 1)
	}
	if f.Size == 0 {
		f.Size = uint64(len(f.Body) + len(f.Target))
	}
	if f.Digest == "" && f.Mode>>12 == 8 {
		sum := sha256.Sum256([]byte(f.Body))
		f.Digest = hex.EncodeToString(sum[:])
	}
	f.User, f.Group = or(f.User, "root"), or(f.Group, "root")
	return f
}

// Payload is the archive that goes with the files: without %ghost files, and
// with the contents of hard links at their last name.
func Payload(files ...File) []byte {
	var parts []Part
	for i, f := range files {
		f = f.usual(i)
		last := !slices.ContainsFunc(files[i+1:], func(other File) bool {
			return other.Inode == f.Inode && other.usual(0).Mode>>12 == f.Mode>>12
		})
		body := f.Body + f.Target
		if !last {
			body = ""
		}
		if f.Flags&64 == 0 {
			parts = append(parts, Entry(Fields{Name: "." + f.Path, Mode: uint32(f.Mode)}, body))
		}
	}
	return Archive(parts...)
}

// Gzip compresses with gzip.
func Gzip(data []byte) []byte {
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	if _, err := w.Write(data); err != nil {
		panic(err) // a buffer takes everything
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buffer.Bytes()
}

// Dir is a directory, 0755.
func Dir(name string) File { return File{Path: name, Mode: 0o040755} }

// Plain is a file, 0644.
func Plain(name, body string) File { return File{Path: name, Body: body} }

// Link is a symbolic link.
func Link(name, target string) File { return File{Path: name, Mode: 0o120777, Target: target} }
