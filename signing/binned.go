package signing

import (
	"maps"
	"slices"
	"time"

	tuf "github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/proa-os/proa/manifests"
)

// How an owner's targets get into bins. See docs/decisions/036.
const (
	// looseMost is how many targets, beside channels, targets.json lists itself. From
	// there on, bins are less to fetch.
	looseMost = 96
	binBits   = 6         // 64 bins
	binPrefix = "targets" // targets-00 to targets-3f
)

// useBins moves the targets into bins once there are many, if targets.json is to be
// signed anew anyway.
func (m *Metadata) useBins() {
	loose := 0
	for name := range m.targets.Signed.Targets {
		if !manifests.IsChannelTarget(name) {
			loose++
		}
	}
	if !m.changed[RoleTargets] || loose <= looseMost || m.targets.Signed.Delegations != nil {
		return
	}
	bins := &tuf.SuccinctRoles{BitLength: binBits, NamePrefix: binPrefix}
	m.targets.Signed.Delegations = &tuf.Delegations{SuccinctRoles: bins}
	m.bins = map[Role]*tuf.Metadata[tuf.TargetsType]{}
	for role := range allBins(bins) {
		m.bins[role] = tuf.Targets(time.Unix(0, 0).UTC())
		m.bins[role].Signed.Version = 0 // Sign counts up
		m.changed[role] = true
	}
	for name, info := range m.targets.Signed.Targets {
		if !manifests.IsChannelTarget(name) {
			m.bins[binOf(bins, name)].Signed.Targets[name] = info
			delete(m.targets.Signed.Targets, name)
		}
	}
}

// listing is the metadata that lists targets as role.
func (m *Metadata) listing(role Role) *tuf.Metadata[tuf.TargetsType] {
	if bin, ok := m.bins[role]; ok {
		return bin
	}
	return m.targets
}

// lister is the role that lists the target, or would list it.
func (m *Metadata) lister(name string) Role {
	bins := binsOf(&m.targets.Signed)
	if m.targets.Signed.Targets[name] != nil || bins == nil || manifests.IsChannelTarget(name) {
		return RoleTargets
	}
	return binOf(bins, name)
}

// listers are the roles that list targets: targets.json and the bins.
func (m *Metadata) listers() []Role {
	return append([]Role{RoleTargets}, slices.Sorted(maps.Keys(m.bins))...)
}

// Ambiguous are the targets that a bin lists and targets.json as well, which hosts
// believe.
func (m *Metadata) Ambiguous() []string {
	var names []string
	for _, bin := range m.bins {
		for name := range bin.Signed.Targets {
			if m.targets.Signed.Targets[name] != nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// Files are the names of the current metadata files, in the order in which hosts
// read them after the roots.
func (m *Metadata) Files() []string {
	var files []string
	for _, role := range append([]Role{RoleTimestamp, RoleSnapshot}, m.listers()...) {
		files = append(files, fileName(role, m.Version(role)))
	}
	return files
}

// delegate makes the bins speak by the keys and the threshold of the targets role, and
// has those signed anew that lack them.
func (m *Metadata) delegate() {
	delegations, role := m.targets.Signed.Delegations, m.root.Signed.Roles[tuf.TARGETS]
	bins := binsOf(&m.targets.Signed)
	if bins == nil || slices.Equal(bins.KeyIDs, role.KeyIDs) && bins.Threshold == role.Threshold {
		return
	}
	bins.KeyIDs, bins.Threshold = slices.Clone(role.KeyIDs), role.Threshold
	delegations.Keys = map[string]*tuf.Key{}
	for _, id := range role.KeyIDs {
		delegations.Keys[id] = m.root.Signed.Keys[id]
	}
	m.changed[RoleTargets] = true
	for name, bin := range m.bins {
		if m.targets.VerifyDelegate(string(name), bin) != nil {
			m.changed[name] = true
		}
	}
}

// trustsTooMuch reports whether a bin could be signed by fewer keys than targets.json, or
// by another.
func (m *Metadata) trustsTooMuch() bool {
	bins, role := binsOf(&m.targets.Signed), m.root.Signed.Roles[tuf.TARGETS]
	return bins != nil && (bins.Threshold < role.Threshold ||
		slices.ContainsFunc(bins.KeyIDs, func(id string) bool { return !slices.Contains(role.KeyIDs, id) }))
}
