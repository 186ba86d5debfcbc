package updater

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/extensions"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/sources"
)

func (s *session) extensionStore() extensions.Store {
	return extensions.Store{FS: s.FS, Dir: s.host.Extensions.Store}
}

// offeredExtensions is the offer's extensions.json. A release without one that this
// host wants is refused, as is a list that is not the release's.
func (s *session) offeredExtensions(ctx context.Context, o offer) (manifests.Extensions, error) {
	var list manifests.Extensions
	if a, ok := o.Release.Artifact(manifests.ExtensionsFile); ok {
		text, err := s.offeredDocument(ctx, o, a)
		if err != nil {
			return list, err
		}
		if list, err = manifests.ParseExtensions(text); err == nil {
			err = list.CheckAgainst(o.Release)
		}
		if err != nil {
			return list, refuse(o.Release.Version, "%v", err)
		}
	}
	if _, unknown := extensions.Wanted(list, s.Settings.Extensions); len(unknown) > 0 {
		return list, refuse(o.Release.Version, "it has no extension %s, which this host is configured to want", unknown[0])
	}
	return list, nil
}

// missingExtensions are those of a list that this host wants and does not have.
func (s *session) missingExtensions(list manifests.Extensions) ([]manifests.Extension, error) {
	wanted, _ := extensions.Wanted(list, s.Settings.Extensions)
	return s.extensionStore().Missing(wanted)
}

// checkExtensionSpace asks for room for the extensions, where those go first that
// neither the running release nor the offered one has.
func (i *installation) checkExtensionSpace() error {
	missing, err := i.missingExtensions(i.done.extensions)
	if err != nil || len(missing) == 0 {
		return err
	}
	const slack = 1 << 20
	store, parent := i.extensionStore(), filepath.Dir(i.host.Extensions.Store)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	free, err := hostfs.Free(parent)
	if err != nil {
		return err
	}
	given, err := store.Keep([]manifests.HexBytes{i.facts.Root.Hash[:], i.target.RootHash}, true)
	if err != nil {
		return err
	}
	if need := store.Space(missing) + slack; free+given < need {
		return refuse(i.target.Version, "%s has %d bytes free: its extensions need %d", parent, free+given, need)
	}
	return nil
}

// fetchExtensions brings the extensions of the offer, when the slot is complete and
// before its trial is armed. Those that no slot needs any more go first: the slot
// has none but the offer's by now.
func (i *installation) fetchExtensions(ctx context.Context) error {
	store, list := i.extensionStore(), i.done.extensions
	if err := i.noteRunningExtensions(store); err != nil {
		return err
	}
	if len(list.Extensions) > 0 {
		if err := store.Note(i.target.RootHash, list); err != nil {
			return err
		}
	}
	if _, err := store.Keep([]manifests.HexBytes{i.facts.Root.Hash[:], i.target.RootHash}, false); err != nil {
		return err
	}
	received, notes, err := i.bringExtensions(ctx, list)
	i.done.Downloaded += received
	i.done.Notes = append(i.done.Notes, notes...)
	return err
}

// noteRunningExtensions is for releases that no update has brought.
func (s *session) noteRunningExtensions(store extensions.Store) error {
	list, err := s.host.Extensions.Read()
	if err != nil || len(list.Extensions) == 0 {
		return err
	}
	return store.Note(s.facts.Root.Hash[:], list)
}

// bringExtensions fetches those of a list that are wanted and not here, and says
// how many bytes came from the network.
func (s *session) bringExtensions(ctx context.Context, list manifests.Extensions) (received int64, notes []string, err error) {
	missing, err := s.missingExtensions(list)
	if err != nil || len(missing) == 0 {
		return 0, nil, err
	}
	set, notes, err := s.openSources()
	if err != nil {
		return 0, notes, err
	}
	store := s.extensionStore()
	for _, x := range missing {
		if err := ctx.Err(); err != nil {
			return received, notes, context.Cause(ctx)
		}
		var origins []extensions.Origin
		for _, file := range set.Files(x.File()) {
			origins = append(origins, file)
		}
		err = s.report("fetch extension "+x.Name, x.Size, func(step progress.Step) error {
			return contentError(store.Fetch(ctx, x.File(), origins, step.Add))
		})
		if err != nil {
			err = fmt.Errorf("extension %s: %w", x.Name, err)
			break
		}
	}
	received = set.Received(sources.Repository) + set.Received(sources.Neighbour)
	return received, append(notes, set.Notes()...), err
}

// CompleteExtensions fetches the extensions that the running release lacks; the next
// boot attaches them. When nothing lacks it neither locks nor asks anybody.
func (u *Updater) CompleteExtensions(ctx context.Context) error {
	all, err := u.Host.Extensions.Standings(u.Settings.Extensions)
	if err != nil || !slices.ContainsFunc(all, func(x extensions.Standing) bool { return x.State == extensions.Missing }) {
		return err
	}
	s, err := u.open(true)
	if err != nil {
		return err
	}
	defer s.close()
	err = s.completeExtensions(ctx, &Updated{})
	u.emitFailure(ctx, "update", err)
	return err
}

// completeExtensions fetches what the running release lacks: of a machine that was
// installed with it, or whose configuration wants more than it did. They need no
// repository's word, since the release's root hash covers theirs.
func (s *session) completeExtensions(ctx context.Context, done *Updated) error {
	standings, err := s.extensionStandings()
	if err != nil {
		return err
	}
	lacking := manifests.Extensions{}
	for _, x := range standings {
		if x.State == extensions.Missing || x.State == extensions.Attached && s.host.Extensions.Check([]string{x.Name}, s.hasSystemd()) != nil {
			lacking.Extensions = append(lacking.Extensions, x.Extension)
		}
	}
	if len(lacking.Extensions) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(s.host.Extensions.Store), 0o755); err != nil {
		return err
	}
	if err := s.noteRunningExtensions(s.extensionStore()); err != nil {
		return err
	}
	received, notes, err := s.bringExtensions(ctx, lacking)
	done.Downloaded += received
	done.Notes = append(done.Notes, notes...)
	if err == nil && received > 0 {
		done.Notes = append(done.Notes, "extensions of the running release were fetched: the next boot attaches them")
	}
	return err
}

// extensionStandings is how the extensions of the running release stand.
func (s *session) extensionStandings() ([]extensions.Standing, error) {
	return s.host.Extensions.Standings(s.Settings.Extensions)
}

// checkExtensions is a health check: a release is not itself without its extensions.
func (s *session) checkExtensions() error {
	if err := s.host.Extensions.Check(s.Settings.Extensions, s.hasSystemd()); err != nil {
		return fmt.Errorf("health check extensions: %w", err)
	}
	return nil
}

// keepExtensions removes what no slot needs.
func (s *session) keepExtensions() error {
	store := s.extensionStore()
	if err := s.noteRunningExtensions(store); err != nil {
		return err
	}
	roots := []manifests.HexBytes{s.facts.Root.Hash[:]}
	if other := s.facts.Slot.Other(); s.boot.Has(other) {
		root, err := s.installedRoot(other)
		if err != nil {
			return nil // it may need any
		}
		roots = append(roots, root.Hash[:])
	}
	_, err := store.Keep(roots, false)
	return err
}

// hasExtensionsOf refuses to go back to a release whose extensions are not here.
func (s *session) hasExtensionsOf(version manifests.Version, slot partitions.Slot, rootHash manifests.HexBytes) error {
	list, err := s.extensionStore().Noted(rootHash)
	if err != nil {
		return refuse(version, "nobody knows which extensions slot %s needs: %v", slot, err)
	}
	missing, err := s.missingExtensions(list)
	if err != nil || len(missing) == 0 {
		return err
	}
	return refuse(version, "the extension %s %s of slot %s is not here any more", missing[0].Name, missing[0].Version, slot)
}

// extensionProblems is what status says of them.
func extensionProblems(all []extensions.Standing, err error) []string {
	if err != nil {
		return []string{"extensions: " + err.Error()}
	}
	var problems []string
	for _, x := range all {
		switch x.State {
		case extensions.Missing:
			problems = append(problems, fmt.Sprintf("extension %s %s is not here: 'proa-agent update' fetches it", x.Name, x.Version))
		case extensions.Waiting:
			problems = append(problems, fmt.Sprintf("extension %s %s is here and not attached: the next boot attaches it", x.Name, x.Version))
		}
	}
	return problems
}

// AttachExtensions makes systemd find the extensions of the running release. It needs
// neither lock nor disk, and is for the start of a boot. With a configuration that
// cannot be read all of them are wanted.
func AttachExtensions(host Host) ([]extensions.Standing, error) {
	settings, fault := LoadSettings(host.Config...)
	all, err := host.Extensions.Attach(settings.Extensions)
	if len(all) == 0 {
		return all, err
	}
	return all, errors.Join(err, fault)
}
