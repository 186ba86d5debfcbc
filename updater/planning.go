package updater

import (
	"context"
	"errors"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/plan"
	"github.com/proa-os/proa/updater/sources"
)

// Plan is what an update would do.
type Plan struct {
	Running manifests.Version `json:"running"`
	Version manifests.Version `json:"version"`
	Release manifests.Digest  `json:"release"`
	News    bool              `json:"news"`              // there is something to do
	Refused string            `json:"refused,omitempty"` // why it would not be done
	Path    string            `json:"path,omitempty"`    // PathDelta or PathIndex
	Size    int64             `json:"size"`              // bytes of the root image
	// Parts are what the root image would be made of.
	Parts    []PlannedPart   `json:"parts,omitempty"`
	Download PlannedDownload `json:"download"`
	Told                     // what the publisher says of it
	Notes    []string        `json:"notes,omitempty"`
}

// PlannedPart is the chunks of the root image that come about in one way.
type PlannedPart struct {
	From   string       `json:"from"`             // PartInPlace, PartCopied, PartPatched or PartFetched
	Source sources.Kind `json:"source,omitempty"` // that is asked first for what is fetched
	Chunks int          `json:"chunks"`
	Bytes  int64        `json:"bytes"`   // of the root image
	Fetch  int64        `json:"fetched"` // bytes to fetch for them
}

// How a part of the root image comes about.
const (
	PartInPlace = "in place" // in the slot to write
	PartCopied  = "copied"   // from the slot that runs
	PartPatched = "patched"  // out of the slot that runs and a delta
	PartFetched = "fetched"
)

// PlannedDownload is the bytes to fetch, wherever they come from.
type PlannedDownload struct {
	Metadata int64 `json:"metadata"` // fetched to make this plan, and nearly free the next time
	List     int64 `json:"list"`     // chunk index or delta header
	Root     int64 `json:"root"`     // for the root image
	Kernel   int64 `json:"kernel"`   // for the kernel image
	// Extensions are the bytes for those that are not here.
	Extensions int64 `json:"extensions,omitempty"`
	Total      int64 `json:"total"`
}

// Plan finds out what an update would do, without writing anything but trusted
// metadata. It goes by hash trees: what is in place or copied has not been read, and is
// fetched after all when it proves damaged.
func (u *Updater) Plan(ctx context.Context) (Plan, error) {
	s, err := u.open(true) // trusted metadata has one user at a time
	if err != nil {
		return Plan{}, err
	}
	defer s.close()
	p, err := s.plan(ctx)
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		u.emitFailure(ctx, "plan", err)
	}
	return p, err
}

func (s *session) plan(ctx context.Context) (Plan, error) {
	p := Plan{Running: s.facts.Image.Version}
	before := s.fetch.Received()
	o, err := s.resolve(ctx)
	if err != nil {
		return p, err
	}
	p.Version, p.Release, p.Size, p.Told = o.Release.Version, o.Digest, o.Root.Size(), o.told
	p.Download.Metadata = s.fetch.Received() - before
	p.Download.Total = p.Download.Metadata
	p.News, err = s.isNews(o)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		p.Refused = err.Error()
	}
	if err != nil || !p.News {
		return p, err
	}
	slot, err := s.disk.Slot(s.facts.Slot.Other(), false)
	if err != nil {
		return p, err
	}
	defer slot.Close()
	q, err := s.newQuartermaster(o, slot)
	if err != nil {
		return p, err
	}
	if t := s.record.Target; s.record.Phase == journal.Writing && t != nil && sameRoot(t.RootHash, o.Release.Root.Hash) {
		q.before = o.Root // what an update that was cut has written of this one
	}
	found, err := q.find(ctx)
	if err != nil {
		return p, contentError(err)
	}
	p.Path, p.Notes = found.path, append(found.notes, q.sources.Notes()...)
	p.Parts = found.parts(q.holder(ctx, found.file))
	for _, part := range p.Parts {
		p.Download.Root += part.Fetch
	}
	p.Download.List = found.list.Size
	for _, part := range s.kernelParts(o) {
		if part.path == "" && !part.inRoot(p.Size) {
			p.Download.Kernel += part.Size
		}
	}
	list, err := s.offeredExtensions(ctx, o)
	if err != nil {
		return p, err
	}
	missing, err := s.missingExtensions(list)
	if err != nil {
		return p, err
	}
	p.Download.Extensions = s.extensionStore().Space(missing)
	p.Download.Total += p.Download.List + p.Download.Root + p.Download.Kernel + p.Download.Extensions
	return p, nil
}

// parts is what the image is made of, by ways; those that bring nothing are left out.
func (s *supply) parts(source sources.Kind) []PlannedPart {
	all := []PlannedPart{{From: PartInPlace}, {From: PartCopied}, {From: PartPatched, Source: source}, {From: PartFetched, Source: source}}
	for n, c := range s.image.Chunks {
		part := &all[3]
		switch {
		case s.present != nil && s.present[n]:
			part = &all[0]
		case s.old != nil && s.old[n] != plan.Absent:
			part = &all[1]
		case s.patches != nil:
			part = &all[2]
		}
		part.Chunks++
		part.Bytes += c.Size
		if part.Source != "" {
			part.Fetch += c.Encoded
		}
	}
	var some []PlannedPart
	for _, part := range all {
		if part.Chunks > 0 {
			some = append(some, part)
		}
	}
	return some
}
