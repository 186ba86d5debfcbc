package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/signing"
)

// demandRehearsed is the word of --require.
const demandRehearsed = "rehearsed"

// attestationMost bounds the file of an attestation, in bytes.
const attestationMost = 4 << 20

// demandFlags say what must be known of a release before a channel moves to it.
type demandFlags struct {
	require    []string
	rehearsals []string // files
	keys       []string // files
	checks     []string // names
	config     string   // file
}

func (f *demandFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.require, "require", nil, "what the release must be: rehearsed")
	flags.StringArrayVar(&f.rehearsals, "rehearsal", nil, "file that 'proa rehearse --attest' wrote, beside what is attached to the release; can be repeated")
	flags.StringArrayVar(&f.keys, "rehearsal-key", nil, "public key whose rehearsals count, a file; can be repeated")
	flags.StringSliceVar(&f.checks, "rehearsal-check", nil, "name of a --check that the rehearsal must have had; can be repeated")
	flags.StringVar(&f.config, "rehearsal-config", "", "`FILE` that the rehearsal must have had as --config")
	cli.CompleteWords(cmd, "require", demandRehearsed)
}

// load reads the files. What it returns is nil when nothing is demanded.
func (f *demandFlags) load(cmd *cobra.Command) (func(repository.Promotion) error, error) {
	for _, word := range f.require {
		if word != demandRehearsed {
			return nil, cli.Usage(cmd, fmt.Errorf("--require %.40q: want %s", word, demandRehearsed))
		}
	}
	switch {
	case len(f.require) == 0 && (len(f.rehearsals)+len(f.keys)+len(f.checks) > 0 || f.config != ""):
		return nil, cli.Usage(cmd, errors.New("--rehearsal, --rehearsal-key, --rehearsal-check and --rehearsal-config go with --require rehearsed"))
	case len(f.require) == 0:
		return nil, nil
	case len(f.keys) == 0:
		return nil, cli.Usage(cmd, errors.New("no key: name those whose rehearsals count with --rehearsal-key"))
	}
	var keys []signing.PublicKey
	for _, path := range f.keys {
		key, err := signing.ReadPublicKeyFile(path)
		if err != nil {
			return nil, keyHint(err)
		}
		keys = append(keys, key)
	}
	wanted := rehearsalWanted{checks: f.checks}
	if f.config != "" {
		content, err := os.ReadFile(f.config)
		if err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
		wanted.settings = manifests.DigestOf(content)
	}
	var rehearsals []rehearsed
	for _, path := range f.rehearsals {
		envelope, err := regular.Read(path, attestationMost)
		if err != nil {
			return nil, err
		}
		r, err := readRehearsal(envelope, keys)
		if err != nil {
			return nil, fmt.Errorf("rehearsal %s: %w", path, err)
		}
		rehearsals = append(rehearsals, r)
	}
	return func(p repository.Promotion) error {
		all := slices.Clone(rehearsals)
		for _, envelope := range p.Attached {
			// What is something else, or of others, counts for nothing.
			if r, err := readRehearsal(envelope, keys); err == nil {
				all = append(all, r)
			}
		}
		return cli.Hint(wanted.demand(all, p), "'proa rehearse --attest' writes what there is to attach, or to name with --rehearsal")
	}, nil
}

// rehearsed is a rehearsal whose signature was verified.
type rehearsed struct {
	manifests.Rehearsal
	release manifests.Digest // that it is about
}

func readRehearsal(envelope []byte, keys []signing.PublicKey) (rehearsed, error) {
	statement, err := signing.OpenSealed(envelope, signing.PayloadInToto, 1, keys...)
	if err != nil {
		return rehearsed{}, err
	}
	release, r, err := manifests.ParseRehearsal(statement)
	return rehearsed{r, release}, err
}

// rehearsalWanted is what a rehearsal must have been like.
type rehearsalWanted struct {
	checks   []string
	settings manifests.Digest // zero: whatever they were
}

// demand wants a rehearsal of the release from the one that the channel has now, which
// is what its hosts run. A channel that is new, or at this release, has no hosts that
// would have to come along. It does not ask how old a rehearsal is: neither of the
// releases has changed since.
func (w rehearsalWanted) demand(rehearsals []rehearsed, p repository.Promotion) error {
	why := fmt.Errorf("no rehearsal of %s %s %s (%s) by these keys is attached or given", p.Product, p.Version, p.Arch, p.Release)
	anyFrom := p.Now.Release.IsZero() || p.Now.Release == p.Release
	found := false
	for _, r := range rehearsals {
		if r.release != p.Release {
			continue
		}
		for _, from := range r.From {
			if !anyFrom && from.Release != p.Now.Release {
				continue
			}
			lacks := w.lacks(r, from)
			if lacks == "" {
				return nil
			}
			found, why = true, fmt.Errorf("the rehearsal of %s from %s lacks %s", p.Version, from.Version, lacks)
		}
		if !found {
			why = fmt.Errorf("%s was not rehearsed from %s, which channel %s has now", p.Version, p.Now.Version, p.Now.Name)
		}
	}
	return why
}

// lacks is what is missing of a rehearsal from one release, or "".
func (w rehearsalWanted) lacks(r rehearsed, from manifests.RehearsedFrom) string {
	if scenes := from.Lacks(); len(scenes) > 0 {
		return "the scene " + strings.Join(scenes, ", ")
	}
	for _, check := range w.checks {
		if !slices.Contains(r.Checks, check) {
			return fmt.Sprintf("the check %.80q", check)
		}
	}
	if !w.settings.IsZero() && r.Settings != w.settings {
		return "the configuration of --rehearsal-config: it had another, or none"
	}
	return ""
}
