package extensions

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
)

// Host is where a host has what concerns extensions.
type Host struct {
	List   string `yaml:"list"`   // extensions.json of the running release
	Store  string `yaml:"store"`  // the folder of a Store
	Run    string `yaml:"run"`    // the folder in which systemd looks for extensions: /run
	Record string `yaml:"record"` // what Attach has done in this boot
	Root   string `yaml:"root"`   // the root file system
}

// State is how an extension of the running release stands.
type State string

// The states.
const (
	Attached State = "attached"
	Missing  State = "missing"    // wanted, and its image is not here
	Unwanted State = "not wanted" // by this host's configuration
	Waiting  State = "waiting"    // its image is here, and was not when the machine was booted
)

// Standing is an extension and its state.
type Standing struct {
	manifests.Extension
	State State `json:"state"`
}

// Read is the list of the running release, the zero value if it has no extensions.
func (h Host) Read() (manifests.Extensions, error) {
	text, err := regular.Read(h.List, manifests.DocumentMost)
	if errors.Is(err, fs.ErrNotExist) {
		return manifests.Extensions{}, nil
	}
	if err != nil {
		return manifests.Extensions{}, err
	}
	list, err := manifests.ParseExtensions(text)
	if err != nil {
		return manifests.Extensions{}, fmt.Errorf("%s: %w", h.List, err)
	}
	return list, nil
}

// Wanted are those extensions of a list that a host wants: all of them when names is
// nil. The names that are not among them come second.
func Wanted(list manifests.Extensions, names []string) (wanted []manifests.Extension, unknown []string) {
	if names == nil {
		return list.Extensions, nil
	}
	for _, x := range list.Extensions {
		if slices.Contains(names, x.Name) {
			wanted = append(wanted, x)
		}
	}
	for _, name := range names {
		if _, ok := list.Find(name); !ok {
			unknown = append(unknown, name)
		}
	}
	return wanted, unknown
}

// record is the content of Host.Record.
type record struct {
	Extensions []Standing `json:"extensions"`
}

// folder is where systemd looks for extensions of a kind.
func (h Host) folder(kind manifests.ExtensionKind) string {
	if kind == manifests.Confext {
		return filepath.Join(h.Run, "confexts")
	}
	return filepath.Join(h.Run, "extensions")
}

// Attach makes systemd-sysext and systemd-confext find the extensions of the running
// release that the host wants: a link to the image, and beside it the root hash, by
// which systemd opens it and nothing else. It takes back what an earlier call did,
// and says how each extension stands. Without extensions there is nothing to do.
func (h Host) Attach(names []string) ([]Standing, error) {
	list, err := h.Read()
	if err != nil || len(list.Extensions) == 0 {
		return nil, err
	}
	if err := h.detach(); err != nil {
		return nil, err
	}
	wanted, _ := Wanted(list, names)
	made := record{Extensions: []Standing{}}
	for _, x := range list.Extensions {
		standing := Standing{x, Unwanted}
		if slices.ContainsFunc(wanted, func(w manifests.Extension) bool { return w.Name == x.Name }) {
			if standing.State, err = h.attach(x); err != nil {
				return nil, fmt.Errorf("extension %s: %w", x.Name, err)
			}
		}
		made.Extensions = append(made.Extensions, standing)
	}
	text, err := json.Marshal(made)
	if err != nil {
		return nil, err
	}
	return made.Extensions, os.WriteFile(h.Record, append(text, '\n'), 0o644)
}

func (h Host) attach(x manifests.Extension) (State, error) {
	image := Store{Dir: h.Store}.Path(x.Digest)
	if info, err := os.Stat(image); err != nil || !info.Mode().IsRegular() || info.Size() != x.Size {
		return Missing, nil
	}
	link, hash := h.names(x)
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return "", err
	}
	// The hash is first: without it systemd would open an image as it is.
	if err := os.WriteFile(hash, []byte(x.RootHash.String()+"\n"), 0o644); err != nil {
		return "", err
	}
	return Attached, os.Symlink(image, link)
}

// names are the files by which systemd finds an extension and its root hash
// (systemd.exec(5), RootHash=).
func (h Host) names(x manifests.Extension) (link, hash string) {
	base := filepath.Join(h.folder(x.Kind), x.Name)
	return base + ".raw", base + ".roothash"
}

// detach removes what the record says was made.
func (h Host) detach() error {
	for _, x := range h.recorded() {
		link, hash := h.names(x.Extension)
		for _, path := range []string{link, hash} {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func (h Host) recorded() []Standing {
	var made record
	if text, err := regular.Read(h.Record, manifests.DocumentMost); err == nil && json.Unmarshal(text, &made) == nil {
		return made.Extensions
	}
	return nil
}

// Standings is how each extension of the running release stands.
func (h Host) Standings(names []string) ([]Standing, error) {
	list, err := h.Read()
	if err != nil || len(list.Extensions) == 0 {
		return nil, err
	}
	made, all := h.recorded(), []Standing{}
	wanted, _ := Wanted(list, names)
	for _, x := range list.Extensions {
		standing := Standing{x, Missing}
		if info, err := os.Stat(Store{Dir: h.Store}.Path(x.Digest)); err == nil && info.Size() == x.Size {
			standing.State = Waiting
		}
		if !slices.ContainsFunc(wanted, func(w manifests.Extension) bool { return w.Name == x.Name }) {
			standing.State = Unwanted
		}
		for _, m := range made {
			if m.Name == x.Name && m.Digest == x.Digest && m.State == Attached {
				standing.State = Attached
			}
		}
		all = append(all, standing)
	}
	return all, nil
}

// Check says what keeps a wanted extension of the running release from being there.
// Where systemd runs it must have merged each: what it lists in the folder that it
// has laid over the system is what counts.
func (h Host) Check(names []string, systemd bool) error {
	all, err := h.Standings(names)
	if err != nil {
		return err
	}
	for _, x := range all {
		switch {
		case x.State == Unwanted:
		case x.State != Attached:
			return fmt.Errorf("extension %s %s is not attached: %s", x.Name, x.Version, x.State)
		case systemd && !h.merged(x.Extension):
			return fmt.Errorf("extension %s %s is not merged: see 'journalctl -b -u systemd-%s'", x.Name, x.Version, x.Kind)
		}
	}
	return nil
}

// merged reports whether systemd lists an extension among those that it laid over a
// hierarchy (systemd's src/sysext/sysext.c: .systemd-sysext/extensions and
// .systemd-confext/confexts).
func (h Host) merged(x manifests.Extension) bool {
	hierarchy := "usr"
	if x.Kind == manifests.Confext {
		hierarchy = "etc"
	}
	list := filepath.Join(h.Root, hierarchy, ".systemd-"+string(x.Kind), filepath.Base(h.folder(x.Kind)))
	text, err := regular.Read(list, 64<<10)
	return err == nil && slices.Contains(strings.Split(strings.TrimSpace(string(text)), "\n"), x.Name)
}
