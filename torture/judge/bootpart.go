package judge

import (
	"bytes"
	"crypto/sha256"
	"debug/pe"
	"errors"
	"fmt"
	"path"
	"strings"
)

// bootPart is what the boot partition says.
type bootPart struct {
	err     error
	loader  [sha256.Size]byte
	wanted  string // the entry that loader.conf names
	entries map[string]image
}

// image is a kernel image.
type image struct {
	err    error // it does not load
	digest [sha256.Size]byte
	root   root
}

func (j *Judge) bootPart(disk Disk) bootPart {
	p := j.places["esp"]
	key := disk.Fingerprint(p.start, p.size)
	part, kept := j.boots[key]
	if !kept {
		part = j.readBootPart(disk, p)
		j.boots[key] = part
	}
	return part
}

func (j *Judge) readBootPart(disk Disk, at place) bootPart {
	v, err := openVolume(disk, at)
	if err != nil {
		return bootPart{err: fmt.Errorf("boot partition: %w", err)}
	}
	loader, err := v.find("EFI/BOOT/BOOTX64.EFI")
	if err != nil {
		return bootPart{err: err}
	}
	conf, err := v.file("loader/loader.conf")
	if err != nil {
		return bootPart{err: err}
	}
	part := bootPart{loader: j.image(v, loader).digest, entries: map[string]image{}}
	for line := range strings.Lines(string(conf)) {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "default" {
			part.wanted = words[1]
		}
	}
	folder, err := v.find("EFI/Linux")
	if err != nil {
		return bootPart{err: err}
	}
	files, err := v.list(folder.first)
	if err != nil {
		return bootPart{err: err}
	}
	for _, f := range files {
		if !f.folder && strings.EqualFold(path.Ext(f.name), ".efi") {
			part.entries[strings.ToLower(f.name)] = j.image(v, f)
		}
	}
	return part
}

func (v *volume) file(name string) ([]byte, error) {
	n, err := v.find(name)
	if err != nil {
		return nil, err
	}
	return v.content(n)
}

// image is what is in a program; what was read before is not read again.
func (j *Judge) image(v *volume, n node) image {
	key, err := v.key(n)
	if err != nil {
		return image{err: err}
	}
	i, kept := j.files[key]
	if !kept {
		i = v.image(n)
		j.files[key] = i
	}
	return i
}

// image reads a kernel image with the standard library's reader.
func (v *volume) image(n node) image {
	raw, err := v.content(n)
	if err != nil {
		return image{err: err}
	}
	i := image{digest: sha256.Sum256(raw)}
	f, err := pe.NewFile(bytes.NewReader(raw))
	if err != nil {
		i.err = err
		return i
	}
	section := f.Section(".cmdline")
	if section == nil {
		i.err = errors.New("no .cmdline")
		return i
	}
	line, err := section.Data()
	if err != nil {
		i.err = err
		return i
	}
	i.root, i.err = parseCommandLine(strings.Trim(string(line[:min(len(line), int(section.VirtualSize))]), "\x00"))
	return i
}
