package repository

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// documents are what the targets of one release hold; nil where there is none that
// can be read.
type documents struct {
	digest    manifests.Digest // of the release.json
	release   *manifests.Release
	transport *manifests.Transport
	notice    *manifests.Notice
	attested  []byte // the bundle
}

// readTargets reads every target that is listed, as hosts do where they would.
func (c *checking) readTargets(ctx context.Context) error {
	for _, name := range c.meta.Targets() {
		c.Targets++
		digest, _, _ := c.meta.Target(name)
		c.known[signing.TargetPath(name, digest[:])] = true
		data, err := c.fetch(ctx, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.wrong(name, "%v", err)
			continue
		}
		if err := c.readTarget(name, data); err != nil {
			c.wrong(name, "%v", err)
		}
	}
	return nil
}

func (c *checking) fetch(ctx context.Context, name string) ([]byte, error) {
	if c.stranger == nil {
		return c.target(name)
	}
	verified, err := c.stranger.Fetch(ctx, name)
	return verified.Bytes(), err
}

// errOtherName is of a document that says to be another than its target's name does.
var errOtherName = errors.New("its content is of another product, architecture, version or name")

// readTarget takes down what hosts would read in a target.
func (c *checking) readTarget(name string, data []byte) error {
	part := strings.Split(name, "/")
	switch {
	case len(part) == 4 && part[0] == "channels":
		channel, err := manifests.ParseChannel(data)
		if err == nil && manifests.ChannelTarget(channel.Product, channel.Arch, channel.Name) != name {
			err = errOtherName
		}
		if err == nil {
			c.Channels++
			c.channels = append(c.channels, channel)
		}
		return err
	case len(part) < 5 || part[0] != "releases":
		c.note(name, "hosts read no target of such a name")
		return nil
	}
	key := listed{product: part[1], arch: manifests.Arch(part[2]), version: manifests.Version(part[3])}
	if c.releases[key] == nil {
		c.releases[key] = &documents{}
	}
	d := c.releases[key]
	switch name {
	case manifests.ReleaseTarget(key.product, key.arch, key.version):
		release, err := manifests.ParseRelease(data)
		if err == nil && (listed{product: release.Product, arch: release.Arch, version: release.Version} != key) {
			err = errOtherName
		}
		if err == nil {
			d.release, d.digest = &release, manifests.DigestOf(data)
		}
		return err
	case manifests.TransportTarget(key.product, key.arch, key.version):
		transport, err := manifests.ParseTransport(data)
		if err == nil {
			d.transport = &transport
		}
		return err
	case manifests.NoticeTarget(key.product, key.arch, key.version):
		notice, err := manifests.ParseNotice(data)
		if err == nil {
			d.notice = &notice
		}
		return err
	case manifests.AttestationsTarget(key.product, key.arch, key.version):
		d.attested = data
	}
	return nil // beside a release there may be more about it
}

// compareReleases looks at what the documents say of each other.
func (c *checking) compareReleases(context.Context) error {
	keys := slices.SortedFunc(maps.Keys(c.releases), func(a, b listed) int {
		return cmp.Or(cmp.Compare(a.product, b.product), cmp.Compare(a.arch, b.arch), a.version.Compare(b.version), cmp.Compare(a.version, b.version))
	})
	for n, key := range keys {
		d := c.releases[key]
		name := manifests.ReleaseTarget(key.product, key.arch, key.version)
		if d.release == nil {
			if _, _, ok := c.meta.Target(name); !ok {
				c.wrong(name, "there are targets of this release, and no release.json")
			}
			continue
		}
		c.Releases++
		c.compareTransport(key, d)
		c.compareNotice(key, d)
		c.compareAttestations(key, d)
		if n > 0 && keys[n-1].product == key.product && keys[n-1].arch == key.arch && keys[n-1].version.Compare(key.version) == 0 {
			c.wrong(name, "it ranks the same as %s: hosts cannot tell which is newer", keys[n-1].version)
		}
	}
	for _, channel := range c.channels {
		c.compareChannel(channel)
	}
	return nil
}

func (c *checking) compareTransport(key listed, d *documents) {
	name := manifests.TransportTarget(key.product, key.arch, key.version)
	if d.transport == nil {
		if _, _, ok := c.meta.Target(name); !ok {
			c.wrong(name, "there is none: hosts cannot fetch the release")
		}
		return
	}
	if err := d.transport.CheckAgainst(*d.release, d.digest); err != nil {
		c.wrong(name, "%v", err)
		return
	}
	for _, delta := range d.transport.Deltas {
		base := c.releases[listed{product: key.product, arch: key.arch, version: delta.Version}]
		if base != nil && base.release != nil && string(base.release.Root.Hash) != string(delta.Base) {
			c.wrong(name, "its delta from %s starts from root hash %s: that release has %s", delta.Version, delta.Base, base.release.Root.Hash)
		}
		c.refer(key, "delta from "+string(delta.Version), delta.FetchFile)
	}
	c.refer(key, "root image", d.transport.Root)
	c.refer(key, "chunk index", d.transport.Index)
	for _, a := range d.release.Artifacts {
		if isStoredWhole(a.Name) {
			c.refer(key, a.Name, manifests.FetchFile{Size: a.Size, Digest: a.Digest})
		}
	}
}

// refer notes that a release needs an artifact.
func (c *checking) refer(key listed, what string, file manifests.FetchFile) {
	path := manifests.ArtifactPath(file.Digest)
	what += " of " + key.product + " " + string(key.version) + " " + string(key.arch)
	before, seen := c.artifacts[file.Digest]
	if seen && before.size != file.Size {
		c.wrong(path, "it is the %s with %d bytes and the %s with %d", before.what, before.size, what, file.Size)
	}
	if !seen {
		c.artifacts[file.Digest] = needed{file.Size, what}
		c.known[path] = true
		c.Artifacts++
		c.Size += file.Size
	}
}

func (c *checking) compareNotice(key listed, d *documents) {
	if d.notice == nil {
		return
	}
	name := manifests.NoticeTarget(key.product, key.arch, key.version)
	if err := d.notice.CheckFor(key.product, key.arch, key.version, d.digest); err != nil {
		c.wrong(name, "%v", err)
	}
	stone := d.notice.Requires
	if stone == nil {
		return
	}
	before := c.releases[listed{product: key.product, arch: key.arch, version: stone.Version}]
	switch {
	case before == nil || before.release == nil || before.digest != stone.Release:
		c.wrong(name, "hosts below %s have to install that first, and it is not here", stone.Version)
	case before.release.SecurityEpoch > d.release.SecurityEpoch:
		c.wrong(name, "hosts install %s with security epoch %d first, and then refuse this with %d", stone.Version, before.release.SecurityEpoch, d.release.SecurityEpoch)
	case before.notice != nil && before.notice.Retracted != nil:
		c.note(name, "hosts below %s have to install that first, and it was %s", stone.Version, before.notice.Retracted)
	}
}

func (c *checking) compareChannel(channel manifests.Channel) {
	name := manifests.ChannelTarget(channel.Product, channel.Arch, channel.Name)
	d := c.releases[listed{product: channel.Product, arch: channel.Arch, version: channel.Version}]
	switch {
	case d == nil || d.release == nil || d.digest != channel.Release:
		c.wrong(name, "it points to %s, which is not here", channel.Version)
	case d.notice != nil && d.notice.Retracted != nil:
		c.note(name, "it points to %s, which was %s", channel.Version, d.notice.Retracted)
	}
}
