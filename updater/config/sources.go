package config

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/registry"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/strictyaml"
)

// How many sources there may be beside the repository.
const (
	NeighboursMost = 16
	FoldersMost    = 16
)

// Rate is a number of bytes per second, written as a size: 10MiB. 0 is none.
type Rate int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) error {
	if t := string(text); t == "" || t == "0" {
		*r = 0
		return nil
	}
	size, err := manifests.ParseSize(string(text))
	if err != nil {
		return fmt.Errorf("%.40q: want bytes per second as a whole number with a unit, such as 10MiB, or 0 for no limit", text)
	}
	*r = Rate(size)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is the rate as it may be written.
func (r Rate) String() string { return manifests.Size(r).String() }

// checkSources reports the faults of where a release may come from, and how.
func (s *Settings) checkSources(document *strictyaml.Document) {
	if document.Has("repository") {
		if err := checkRepository(s.Repository); err != nil {
			document.Fault("repository", "%v", err)
		}
	}
	if document.Has("neighbours") {
		checkList(document, "neighbours", s.Neighbours, NeighboursMost, checkNeighbour)
	}
	if document.Has("folders") {
		checkList(document, "folders", s.Folders, FoldersMost, checkFolder)
	}
	const rateLeast, rateMost = 1 << 10, 1 << 40
	if document.Has("rateLimit") && s.RateLimit != 0 && (s.RateLimit < rateLeast || s.RateLimit > rateMost) {
		document.Fault("rateLimit", "rateLimit %s: want %s to %s, or 0 for no limit", s.RateLimit, Rate(rateLeast), Rate(rateMost))
	}
	if document.Has("proxy") && s.Proxy != "" && s.Proxy != fetch.ProxyNone {
		if err := fetch.CheckProxy(s.Proxy); err != nil {
			document.Fault("proxy", "%v, or none", err)
		}
	}
	const connectionsMost = 16
	if document.Has("connections") && (s.Connections < 1 || s.Connections > connectionsMost) {
		document.Fault("connections", "connections %d: want 1 to %d", s.Connections, connectionsMost)
	}
}

func isWeb(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" }

func checkRepository(text string) error {
	switch u, err := url.Parse(text); {
	case err == nil && u.Scheme == registry.Scheme:
		_, err := registry.ParseReference(text)
		return err
	case err != nil || !isWeb(u):
		return fmt.Errorf("repository %.80q: want an http or https URL, or oci://HOST/NAME:TAG", text)
	}
	return nil
}

func checkList(document *strictyaml.Document, key string, list []string, most int, check func(string) error) {
	if len(list) > most {
		document.Fault(key, "%s: %d of them: want at most %d", key, len(list), most)
		return
	}
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		if err := check(item); err != nil {
			document.Fault(at, "%s%v", at, err)
		} else if slices.Contains(list[:i], item) {
			document.Fault(at, "%s %.80q: it is there already", at, item)
		}
	}
}

func checkNeighbour(neighbour string) error {
	u, err := url.Parse(neighbour)
	switch {
	case err != nil || !isWeb(u):
		return fmt.Errorf(" %.80q: want an http or https URL", neighbour)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New(": want a URL without user, ? and #") // it may have a password
	}
	return nil
}

func checkExtension(name string) error {
	if err := manifests.CheckExtensionName(name); err != nil {
		return fmt.Errorf(": %w", err)
	}
	return nil
}

func checkFolder(folder string) error {
	if !path.IsAbs(folder) || path.Clean(folder) != folder {
		return fmt.Errorf(" %.80q: want an absolute path", folder)
	}
	return nil
}
