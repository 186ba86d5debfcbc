package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
)

// Pack is the files of a repository, as it is at one moment, that hosts need of
// some of its releases: in the order in which a host reads them.
type Pack struct {
	Files    []PackedFile
	Releases []PackedRelease
	Expires  time.Time // when the first of its signatures ends

	dir  string
	meta *signing.Metadata
}

// PackedFile is one file of a Pack.
type PackedFile struct {
	Name    string // relative to the repository, with slashes
	Size    int64  // bytes
	Digest  manifests.Digest
	content []byte // of metadata and targets; artifacts never change
}

// PackedRelease is one release of a Pack.
type PackedRelease struct {
	Product  string            `json:"product"`
	Arch     manifests.Arch    `json:"arch"`
	Version  manifests.Version `json:"version"`
	Release  manifests.Digest  `json:"release"`
	Channels []string          `json:"channels"` // that point to it or lead over it, sorted
	// Requires is the version that hosts on an older one install first, and which the
	// pack need not have; "" if they need none.
	Requires manifests.Version   `json:"requires,omitempty"`
	Deltas   []manifests.Version `json:"deltas"` // that it can be made from, newest first

	release   manifests.Release
	transport manifests.Transport
}

// PackWhole packs every release of the repository in dir that has one of the
// versions, or all of them when none is given.
func PackWhole(ctx context.Context, dir string, now time.Time, versions ...manifests.Version) (*Pack, error) {
	p, r, err := openPack(dir)
	if err != nil {
		return nil, err
	}
	there := r.releases()
	for _, v := range versions {
		if !slices.ContainsFunc(there, func(l listed) bool { return l.version == v }) {
			return nil, fmt.Errorf("version %s: %w", v, ErrNoRelease)
		}
	}
	for _, l := range there {
		if len(versions) > 0 && !slices.Contains(versions, l.version) {
			continue
		}
		if err := p.add(r, l, ""); err != nil {
			return nil, err
		}
	}
	for _, release := range p.Releases {
		p.addArtifacts(release, append(manifests.Documents(), manifests.ForInstallers()...), true)
	}
	return p, p.CheckAsHost(ctx, nil, now)
}

func openPack(dir string) (*Pack, *repository, error) {
	meta, err := readMetadata(dir)
	if err != nil {
		return nil, nil, err
	}
	p := &Pack{dir: dir, meta: meta}
	for n := range meta.Version(signing.RoleRoot) {
		if err := p.addSmall(fmt.Sprintf("%s/%d.root.json", metadataFolder, n+1)); err != nil {
			return nil, nil, err
		}
	}
	// All bins, whatever the releases: a host asks for notices of what it runs or has
	// begun, and that there is none must be proven to it.
	for _, name := range meta.Files() {
		if err := p.addSmall(metadataFolder + "/" + name); err != nil {
			return nil, nil, err
		}
	}
	p.Expires = meta.Expires(signing.RoleTimestamp)
	for _, role := range signing.Roles() {
		if at := meta.Expires(role); at.Before(p.Expires) {
			p.Expires = at
		}
	}
	return p, &repository{Config: Config{Dir: dir}, meta: meta}, nil
}

// addSmall adds a file that is read now, as it may be replaced later.
func (p *Pack) addSmall(name string) error {
	content, err := regular.Read(filepath.Join(p.dir, filepath.FromSlash(name)), manifests.DocumentMost)
	if err != nil {
		return err
	}
	p.addFile(PackedFile{Name: name, Size: int64(len(content)), Digest: manifests.DigestOf(content), content: content})
	return nil
}

func (p *Pack) addFile(f PackedFile) {
	if !slices.ContainsFunc(p.Files, func(other PackedFile) bool { return other.Name == f.Name }) {
		p.Files = append(p.Files, f)
	}
}

func (p *Pack) has(target string) bool {
	_, _, ok := p.meta.Target(target)
	return ok
}

func (p *Pack) addTarget(name string) error {
	digest, _, ok := p.meta.Target(name)
	if !ok {
		return fmt.Errorf("target %s: %w", name, signing.ErrNotFound)
	}
	return p.addSmall(signing.TargetPath(name, digest[:]))
}

// add adds the targets of a release and of the channels that point to it, or of
// the one that is named. A channel that leads over it is one that points to it, for hosts
// that have not come so far.
func (p *Pack) add(r *repository, l listed, only string) error {
	packed := PackedRelease{Product: l.product, Arch: l.arch, Version: l.version, Release: l.digest, Channels: []string{}, Deltas: []manifests.Version{}}
	channels, err := r.channels()
	if err != nil {
		return err
	}
	for _, c := range channels {
		if c.Product != l.product || c.Arch != l.arch || only != "" && c.Name != only {
			continue
		}
		route, err := r.route(listed{c.Product, c.Arch, c.Version, c.Release})
		if err != nil {
			return err
		}
		if !slices.Contains(route, l) {
			continue
		}
		packed.Channels = append(packed.Channels, c.Name)
		if err := p.addTarget(manifests.ChannelTarget(c.Product, c.Arch, c.Name)); err != nil {
			return err
		}
	}
	if err := p.addNotices(r, l); err != nil {
		return err
	}
	notice, err := r.notice(l)
	if err != nil {
		return err
	}
	if notice.Requires != nil {
		packed.Requires = notice.Requires.Version
	}
	if packed.release, err = r.release(l); err != nil {
		return err
	}
	text, err := r.target(manifests.TransportTarget(l.product, l.arch, l.version))
	if err != nil {
		return err
	}
	if packed.transport, err = manifests.ParseTransport(text); err != nil {
		return err
	}
	if err := packed.transport.CheckAgainst(packed.release, l.digest); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	for _, name := range []string{manifests.ReleaseTarget(l.product, l.arch, l.version), manifests.TransportTarget(l.product, l.arch, l.version)} {
		if err := p.addTarget(name); err != nil {
			return err
		}
	}
	if name := manifests.AttestationsTarget(l.product, l.arch, l.version); p.has(name) {
		if err := p.addTarget(name); err != nil {
			return err
		}
	}
	for _, d := range packed.transport.Deltas {
		packed.Deltas = append(packed.Deltas, d.Version)
	}
	p.Releases = append(p.Releases, packed)
	return nil
}

// addNotices adds what the publisher says of the release and of all others that a host
// of it may run, have begun or come by: it asks for those as well.
func (p *Pack) addNotices(r *repository, of listed) error {
	if slices.ContainsFunc(p.Releases, func(there PackedRelease) bool { return there.Product == of.product && there.Arch == of.arch }) {
		return nil
	}
	for _, l := range r.releases() {
		name := manifests.NoticeTarget(l.product, l.arch, l.version)
		if !p.has(name) || l.product != of.product || l.arch != of.arch {
			continue
		}
		if err := p.addTarget(name); err != nil {
			return err
		}
	}
	return nil
}

// addArtifacts adds what a release is fetched from: further files, extensions, deltas,
// and, if it is to serve every host, the whole root image; then the kernel image.
func (p *Pack) addArtifacts(packed PackedRelease, further []string, whole bool) {
	add := func(f manifests.FetchFile) {
		p.addFile(PackedFile{Name: manifests.ArtifactPath(f.Digest), Size: f.Size, Digest: f.Digest})
	}
	for _, name := range further {
		if a, ok := packed.release.Artifact(name); ok {
			add(manifests.FetchFile{Size: a.Size, Digest: a.Digest})
		}
	}
	for _, a := range packed.release.Artifacts {
		if manifests.IsOfExtensions(a.Name) {
			add(manifests.FetchFile{Size: a.Size, Digest: a.Digest})
		}
	}
	for _, d := range packed.transport.Deltas {
		if slices.Contains(packed.Deltas, d.Version) {
			add(d.FetchFile)
		}
	}
	if whole {
		add(packed.transport.Index)
		add(packed.transport.Root)
	}
	add(packed.transport.UKI.FetchFile)
}

// Open opens a file of the pack, which must have its size.
func (p *Pack) Open(f PackedFile) (io.ReadCloser, error) {
	if f.content != nil {
		return io.NopCloser(bytes.NewReader(f.content)), nil
	}
	file, info, err := regular.Open(filepath.Join(p.dir, filepath.FromSlash(f.Name)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if err != nil {
		return nil, err
	}
	if info.Size() != f.Size {
		file.Close()
		return nil, fmt.Errorf("%s of %d bytes, want %d: %w", file.Name(), info.Size(), f.Size, ErrBroken)
	}
	return file, nil
}

// Size is the bytes of all files.
func (p *Pack) Size() int64 {
	size := int64(0)
	for _, f := range p.Files {
		size += f.Size
	}
	return size
}

// CheckAsHost has a host's client read the metadata and every target of the
// pack. What the host trusts already is in state, by the names of its trusted
// folder; a nil state is that of a new host.
func (p *Pack) CheckAsHost(ctx context.Context, state map[string][]byte, now time.Time) error {
	folder, err := os.MkdirTemp("", "proa-host-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	for name, content := range state {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	served := map[string][]byte{}
	for _, f := range p.Files {
		if f.content != nil {
			served[f.Name] = f.content
		}
	}
	client, err := signing.OpenClient(signing.Config{
		URL:  "http://repository.invalid",
		Dir:  folder,
		Root: served[metadataFolder+"/1.root.json"],
		HTTP: &http.Client{Transport: packServer(served)},
		Now:  func() time.Time { return now },
	})
	if err != nil {
		return err
	}
	if err := client.Refresh(ctx); err != nil {
		return fmt.Errorf("a host would refuse the repository: %w", err)
	}
	if _, err := client.Targets(ctx); err != nil { // reads every bin
		return fmt.Errorf("a host would refuse the repository: %w", err)
	}
	for _, name := range p.meta.Targets() {
		digest, _, _ := p.meta.Target(name)
		if served[signing.TargetPath(name, digest[:])] == nil {
			continue
		}
		if _, err := client.Fetch(ctx, name); err != nil {
			return fmt.Errorf("a host would refuse the repository: %w", err)
		}
	}
	return nil
}

// packServer answers with files in memory.
type packServer map[string][]byte

// RoundTrip implements http.RoundTripper.
func (s packServer) RoundTrip(request *http.Request) (*http.Response, error) {
	content, ok := s[strings.TrimPrefix(request.URL.Path, "/")]
	status := http.StatusOK
	if !ok {
		status = http.StatusNotFound
	}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Header: http.Header{}, Request: request,
		ContentLength: int64(len(content)), Body: io.NopCloser(bytes.NewReader(content)),
	}, nil
}
