package updater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"time"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/stick"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater/plan"
	"github.com/proa-os/proa/updater/slots"
	"github.com/proa-os/proa/updater/sources"
)

// The ways to a root image.
const (
	PathDelta = "delta"
	PathIndex = "index"
)

// supply is where the parts of an offer's root image come from.
type supply struct {
	path    string
	file    manifests.FetchFile // that the parts are fetched of
	list    manifests.FetchFile // that says which: the chunk index, or the header of a delta
	image   slots.Image
	old     []int64
	patches []*deltas.Segment
	present []bool // chunks that the slot to write may hold
	notes   []string
}

// quartermaster finds the supply of one offer.
type quartermaster struct {
	*session
	offer    offer
	sources  sources.Set
	active   *slots.Slot // that runs
	inactive *slots.Slot // to be written
	before   verity.Root // of what the inactive slot held; no blocks if it is not known
	notes    []string    // about sources
}

// newQuartermaster looks at the slots. They may be forgotten afterwards.
func (s *session) newQuartermaster(o offer, inactive *slots.Slot) (*quartermaster, error) {
	q := &quartermaster{session: s, offer: o, inactive: inactive}
	var err error
	if q.active, err = s.disk.Slot(s.facts.Slot, false); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { q.active.Close() })
	block := make([]byte, verity.BlockSize)
	if n, _ := inactive.Tree.ReadAt(block, 0); n == len(block) {
		if sb, err := verity.ParseSuperblock(block); err == nil {
			q.before = verity.Root{Salt: sb.Salt, Blocks: sb.Blocks}
		}
	}
	q.sources, q.notes, err = s.openSources()
	return q, err
}

// openSources makes the list of whom to ask. A folder that is not there, or holds no
// repository, is passed over: sticks come and go. One that is damaged is noted.
func (s *session) openSources() (set sources.Set, notes []string, err error) {
	for _, folder := range s.Settings.Folders {
		found, err := stick.Open(folder)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				notes = append(notes, fmt.Sprintf("folder %s is not used: %v", folder, err))
			}
			continue
		}
		s.closers = append(s.closers, func() { found.Close() })
		client, err := fetch.New(fetch.Config{Base: found.URL(), Schemes: map[string]func(http.RoundTripper) http.RoundTripper{
			"file": func(http.RoundTripper) http.RoundTripper { return found },
		}})
		if err != nil {
			return nil, nil, err
		}
		set.Add(sources.Folder, folder, client)
	}
	for _, neighbour := range s.Settings.Neighbours {
		client, err := fetch.New(s.neighbour(neighbour))
		if err != nil {
			return nil, nil, err
		}
		s.closers = append(s.closers, client.Close)
		set.Add(sources.Neighbour, neighbour, client)
	}
	set.Add(sources.Repository, s.Settings.Repository, s.fetch)
	return set, notes, nil
}

// find is the cheaper of the two ways, or the one that there is.
func (q *quartermaster) find(ctx context.Context) (*supply, error) {
	notes := slices.Clone(q.notes)
	if d, ok := q.delta(); ok && q.deltaIsCheaper(ctx, d) {
		found, err := q.byDelta(ctx, d)
		if err == nil {
			found.notes = notes
			return found, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		notes = append(notes, fmt.Sprintf("the delta from %s is not used: %v", d.Version, err))
	}
	found, err := q.byIndex(ctx)
	if err == nil {
		found.notes = append(notes, found.notes...)
	}
	return found, err
}

// delta is the one from what runs.
func (q *quartermaster) delta() (manifests.Delta, bool) {
	for _, d := range q.offer.Transport.Deltas {
		if sameRoot(d.Base, q.facts.Root.Hash[:]) {
			return d, true
		}
	}
	return manifests.Delta{}, false
}

func (q *quartermaster) deltaIsCheaper(ctx context.Context, d manifests.Delta) bool {
	t := q.offer.Transport
	return plan.UseDelta(d.FetchFile, q.distance(ctx, d.FetchFile), t.Index, t.Root, q.distance(ctx, t.Root))
}

// distance is where a file is to be had. Nobody is asked where there is no choice.
func (q *quartermaster) distance(ctx context.Context, file manifests.FetchFile) plan.Distance {
	if len(q.sources) == 1 {
		return plan.Far
	}
	return map[sources.Kind]plan.Distance{sources.Folder: plan.AtHand, sources.Neighbour: plan.Nearby, sources.Repository: plan.Far}[q.holder(ctx, file)]
}

// holder is the kind of the first source that has the file.
func (q *quartermaster) holder(ctx context.Context, file manifests.FetchFile) sources.Kind {
	if len(q.sources) > 1 {
		if found := q.sources[:len(q.sources)-1].Holder(ctx, file); found != nil {
			return found.Kind
		}
	}
	return sources.Repository
}

// byDelta is the way over a delta. What a delta copies is known by the active
// slot's hash tree, so that one must be whole.
func (q *quartermaster) byDelta(ctx context.Context, d manifests.Delta) (*supply, error) {
	leaves := q.activeLeaves()
	if err := leaves.Check(ctx); err != nil {
		return nil, fmt.Errorf("slot %s: %w", q.facts.Slot, err)
	}
	header, err := q.sources.Bytes(ctx, d.FetchFile, 0, d.Header)
	if err != nil {
		return nil, err
	}
	from := deltas.Image{RootHash: leaves.Root.Hash, Blocks: leaves.Root.Blocks}
	to := deltas.Image{RootHash: q.offer.Root.Hash, Blocks: q.offer.Root.Blocks}
	parsed, err := deltas.ParseHeader(header, from, to, d.Size)
	if err != nil {
		return nil, err
	}
	layout, err := plan.OfDelta(parsed, leaves, q.offer.Root)
	if err != nil {
		return nil, err
	}
	s := &supply{path: PathDelta, file: d.FetchFile, list: d.Header, old: layout.Old, patches: layout.Patches}
	s.image = slots.Image{Root: q.offer.Root, Chunks: layout.Chunks}
	s.present = q.presence(layout.Chunks)
	return s, nil
}

// byIndex is the way over the chunk index, from any version.
func (q *quartermaster) byIndex(ctx context.Context) (*supply, error) {
	chunks, err := q.chunks(ctx)
	if err != nil {
		return nil, err
	}
	s := &supply{path: PathIndex, file: q.offer.Transport.Root, list: q.offer.Transport.Index, image: slots.Image{Root: q.offer.Root, Chunks: chunks}}
	if sameRoot(q.facts.Root.Salt, q.offer.Root.Salt) {
		if s.old, err = plan.Locate(ctx, chunks, q.activeLeaves()); err != nil {
			return nil, err
		}
	}
	s.present = q.presence(chunks)
	return s, nil
}

// chunks fetches and reads the chunk index.
func (q *quartermaster) chunks(ctx context.Context) ([]chunkindex.Chunk, error) {
	t := q.offer.Transport
	data, err := q.sources.Bytes(ctx, t.Index, 0, t.Index) // manifests.IndexSizeMost bounds it
	if err != nil {
		return nil, contentError(err)
	}
	index, err := chunkindex.Parse(data, q.offer.Release.Root)
	if err != nil {
		return nil, refuse(q.offer.Release.Version, "%v", err)
	}
	if last := index.Chunks[len(index.Chunks)-1]; last.Frame+last.Encoded > t.Root.Size {
		return nil, refuse(q.offer.Release.Version, "its chunk index has frames of %d bytes: its root image has %d", last.Frame+last.Encoded, t.Root.Size)
	}
	return index.Chunks, nil
}

func (q *quartermaster) activeLeaves() plan.Leaves {
	return plan.Leaves{Root: q.facts.Root, Stored: q.active.Tree}
}

// presence is which chunks the slot to write may hold, by the leaf level of what
// it held before, if there is anything to go by.
func (q *quartermaster) presence(chunks []chunkindex.Chunk) []bool {
	if q.before.Blocks == 0 || !sameRoot(q.before.Salt, q.offer.Root.Salt) {
		return nil
	}
	return plan.InPlace(chunks, plan.Leaves{Root: q.before, Stored: q.inactive.Tree})
}

// filling is what a slot is filled with, by this supply.
func (q *quartermaster) filling(s *supply) slots.Filling {
	f := slots.Filling{
		Image: s.image, Present: s.present, Active: q.active.Root, Old: s.old,
		Lanes: q.Settings.Connections, Patches: s.patches, Partial: s.path == PathDelta,
	}
	for _, file := range q.sources.Files(s.file) {
		f.Origins = append(f.Origins, file)
	}
	return f
}

// repository is a file where the repository has it.
func (q *quartermaster) repository(file manifests.FetchFile) *sources.File {
	files := q.sources.Files(file)
	return files[len(files)-1]
}

// neighbour is how a neighbour is asked: with less patience than the repository,
// which is there all the same, and past all proxies.
func (s *session) neighbour(base string) fetch.Config {
	const least, window, attempts = 32 << 10, 5 * time.Second, 2
	patience := s.Patience
	patience.MinimumRate = max(patience.MinimumRate, least)
	patience.Window = min(cmp.Or(patience.Window, window), window)
	patience.Attempts = attempts
	return fetch.Config{
		Base: base, UserAgent: "proa-agent/" + s.Version, Patience: patience, Connections: s.Settings.Connections,
		Proxy: fetch.ProxyNone, Limit: s.limit,
	}
}
