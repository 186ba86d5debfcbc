package updater

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/updater/etc"
)

// Kept is what an update means for the data that outlives it.
type Kept struct {
	// EtcConflicts are files that the machine has made its own and that the update
	// changes: the machine will not see the change.
	EtcConflicts []etc.Conflict `json:"etcConflicts,omitempty"`
	// VarFormat is the format that the update brings /var to once it leads, if
	// that is another one than it has.
	VarFormat int `json:"varFormat,omitempty"`
	// OneWay says that the machine then cannot go back to the release before.
	OneWay bool `json:"oneWay,omitempty"`

	format     int                  // of /var that the release works with
	extensions manifests.Extensions // of the release
}

// Warnings are sentences for whoever starts the update.
func (k Kept) Warnings() []string {
	lines := k.overridden()
	if k.OneWay {
		lines = append(lines, fmt.Sprintf("once it leads it migrates /var to format %d, and there is no way back to the release that runs now", k.VarFormat))
	}
	return lines
}

// overridden are sentences about the conflicts in /etc.
func (k Kept) overridden() []string {
	var lines []string
	for _, c := range k.EtcConflicts {
		lines = append(lines, fmt.Sprintf("/%s is %s here, and stays so: the release has it %s", c.Path, c.Here, c.Release))
	}
	return lines
}

// weigh finds out what an offer means for /etc and /var. One that starts from a
// newer format of /var than this machine has is refused.
func (s *session) weigh(ctx context.Context, o offer) (Kept, error) {
	next, err := s.offeredState(ctx, o)
	if err != nil {
		return Kept{}, err
	}
	now, err := s.host.releaseState()
	if err != nil {
		return Kept{}, err
	}
	changes, err := etc.Diff(s.host.Etc, now)
	if err != nil {
		return Kept{}, err
	}
	kept := Kept{EtcConflicts: etc.Conflicts(changes, now, next), format: next.VarFormat()}
	if kept.extensions, err = s.offeredExtensions(ctx, o); err != nil {
		return Kept{}, err
	}
	v := s.formattedVar()
	if err := v.Reaches(next); err != nil {
		return Kept{}, refuse(o.Release.Version, "%v", err)
	}
	format, err := v.Format()
	if err != nil {
		return Kept{}, err
	}
	for _, m := range next.Migrations {
		if m.To > format {
			kept.VarFormat = m.To
			kept.OneWay = kept.OneWay || !m.Reversible
		}
	}
	return kept, nil
}

// offeredState is the offer's state.json; a release that was built before there
// were such documents has none.
func (s *session) offeredState(ctx context.Context, o offer) (manifests.State, error) {
	a, ok := o.Release.Artifact(manifests.StateFile)
	if !ok {
		return manifests.State{}, nil
	}
	text, err := s.offeredDocument(ctx, o, a)
	if err != nil {
		return manifests.State{}, err
	}
	state, err := manifests.ParseState(text)
	if err != nil {
		return manifests.State{}, refuse(o.Release.Version, "%v", err)
	}
	return state, nil
}

// offeredDocument is a small artifact of the offer.
func (s *session) offeredDocument(ctx context.Context, o offer, a manifests.Artifact) ([]byte, error) {
	if a.Size > manifests.DocumentMost {
		return nil, refuse(o.Release.Version, "its %s has %d bytes: want at most %d", a.Name, a.Size, manifests.DocumentMost)
	}
	path := filepath.Join(s.host.State, "document.download")
	defer os.Remove(path)
	err := s.fetch.File(ctx, manifests.ArtifactPath(a.Digest), manifests.FetchFile{Size: a.Size, Digest: a.Digest}, path)
	if err != nil {
		return nil, contentError(err)
	}
	text, err := regular.Read(path, manifests.DocumentMost)
	if err != nil {
		return nil, err
	}
	if manifests.DigestOf(text) != a.Digest {
		return nil, &UntrustedError{fmt.Errorf("%s is not what was downloaded", path)}
	}
	return text, nil
}
