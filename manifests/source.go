package manifests

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Source is one place that files come from: exactly one of Tar, OCI, RPM, Deb
// and Dir.
type Source struct {
	Tar     string  `yaml:"tar" json:"tar,omitempty" jsonschema:"description=A tar archive: plain or gzip or bzip2 or xz or zstd; - is standard input"`
	OCI     string  `yaml:"oci" json:"oci,omitempty" jsonschema:"description=An image in a registry (registry.example/name:tag) or an OCI layout folder or a docker or OCI archive; a path that could be taken for a registry starts with ./"`
	Ref     string  `yaml:"ref" json:"ref,omitempty" jsonschema:"description=With oci and a path: the tag or digest of the image where there are several"`
	Cosign  string  `yaml:"cosign" json:"cosign,omitempty" jsonschema:"description=With oci and a registry: the public key (PEM) that must have signed the image with cosign"`
	RPM     *RPM    `yaml:"rpm" json:"rpm,omitempty" jsonschema:"description=RPM packages and what they require"`
	Deb     *Deb    `yaml:"deb" json:"deb,omitempty" jsonschema:"description=Debian packages and what they depend on"`
	Dir     string  `yaml:"dir" json:"dir,omitempty" jsonschema:"description=A folder whose files are laid over what came before"`
	Entries []Entry `yaml:"entries" json:"entries,omitempty" jsonschema:"description=With dir: owners and modes of what the globs match"`
}

// RPM is a source of RPM packages.
type RPM struct {
	Repositories []RPMRepository `yaml:"repositories" json:"repositories,omitempty" jsonschema:"description=Where packages come from"`
	Packages     []string        `yaml:"packages" json:"packages" jsonschema:"required,description=What to install: a name or a capability or name = version or the path of an .rpm file that starts with ./ or /"`
	GPGKeys      []string        `yaml:"gpgkeys" json:"gpgkeys,omitempty" jsonschema:"description=Paths of the public keys that local .rpm files must be signed by"`
	Exclude      []string        `yaml:"exclude" json:"exclude,omitempty" jsonschema:"description=Names of packages never to install"`
	Recommends   bool            `yaml:"recommends" json:"recommends,omitempty" jsonschema:"description=Also install what packages recommend where that is possible"`
	Scripts      Scripts         `yaml:"scripts" json:"scripts,omitempty" jsonschema:"enum=report,enum=sandbox,description=What becomes of package scripts (default report: none runs)"`
}

// RPMRepository is one repository of RPM packages (repodata/repomd.xml).
type RPMRepository struct {
	URL      string   `yaml:"url" json:"url" jsonschema:"required,description=The folder that holds repodata: an http or https URL or a path; $arch is replaced (x86_64 or aarch64)"`
	GPGKey   []string `yaml:"gpgkey" json:"gpgkey" jsonschema:"required,description=Paths of the public keys that repomd.xml and packages must be signed by"`
	Priority *int     `yaml:"priority" json:"priority,omitempty" jsonschema:"minimum=1,maximum=999,description=Of two repositories that have a package the one with the lower number wins (default 99)"`
	// Unsigned metadata is still bound to signed packages.
	UnsignedMetadata bool `yaml:"unsignedMetadata" json:"unsignedMetadata,omitempty" jsonschema:"description=Accept a repomd.xml without a signature; packages must still be signed"`
}

// Deb is a source of Debian packages.
type Deb struct {
	Repositories []DebRepository `yaml:"repositories" json:"repositories,omitempty" jsonschema:"description=Where packages come from"`
	Packages     []string        `yaml:"packages" json:"packages" jsonschema:"required,description=What to install: a name or a virtual package or name (= version) or the path of a .deb file that starts with ./ or /"`
	Exclude      []string        `yaml:"exclude" json:"exclude,omitempty" jsonschema:"description=Names of packages never to install"`
	Recommends   bool            `yaml:"recommends" json:"recommends,omitempty" jsonschema:"description=Also install what packages recommend where that is possible"`
	Scripts      Scripts         `yaml:"scripts" json:"scripts,omitempty" jsonschema:"enum=report,enum=sandbox,description=What becomes of maintainer scripts (default report: none runs)"`
}

// DebRepository is one archive of Debian packages (dists/SUITE/InRelease).
type DebRepository struct {
	URL        string   `yaml:"url" json:"url" jsonschema:"required,description=The folder that holds dists: an http or https URL or a path"`
	Suites     []string `yaml:"suites" json:"suites" jsonschema:"required,description=Such as bookworm and bookworm-updates"`
	Components []string `yaml:"components" json:"components,omitempty" jsonschema:"description=Default main"`
	SignedBy   []string `yaml:"signedBy" json:"signedBy" jsonschema:"required,description=Paths of the public keys that InRelease must be signed by"`
}

// Scripts says what becomes of the scripts that packages carry.
type Scripts string

// What a recipe can ask for.
const (
	ScriptsReport  Scripts = "report"  // none runs; what they would have done is reported
	ScriptsSandbox Scripts = "sandbox" // they run in an unprivileged namespace
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Scripts) UnmarshalText(text []byte) error {
	switch v := Scripts(text); v {
	case ScriptsReport, ScriptsSandbox:
		*s = v
		return nil
	}
	return fmt.Errorf("%q: want report or sandbox", clip(string(text)))
}

// Name is how messages call the source.
func (s Source) Name() string {
	switch {
	case s.Tar != "":
		return "tar " + s.Tar
	case s.OCI != "":
		return "oci " + s.OCI
	case s.RPM != nil:
		return "rpm packages"
	case s.Deb != nil:
		return "deb packages"
	default:
		return "dir " + s.Dir
	}
}

// Keys are the paths of the public keys that the source names, each once.
func (s Source) Keys() []string {
	var keys []string
	if s.Cosign != "" {
		keys = append(keys, s.Cosign)
	}
	if s.RPM != nil {
		keys = append(keys, s.RPM.GPGKeys...)
		for _, repository := range s.RPM.Repositories {
			keys = append(keys, repository.GPGKey...)
		}
	}
	if s.Deb != nil {
		for _, repository := range s.Deb.Repositories {
			keys = append(keys, repository.SignedBy...)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// registryReference matches the references that have a registry in them: a
// host with a dot or a port, or localhost, and a path behind it.
var registryReference = regexp.MustCompile(`^(localhost|[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)+|[A-Za-z0-9][A-Za-z0-9-]*:[0-9]+|\[[0-9a-fA-F:]+\])(:[0-9]+)?/`)

// InRegistry reports whether OCI names an image in a registry, not a path.
func (s Source) InRegistry() bool { return registryReference.MatchString(s.OCI) }

// Locked reports whether the lock has to say what the source stands for.
func (s Source) Locked() bool { return s.RPM != nil || s.Deb != nil || s.InRegistry() }

func (s Source) check(fault func(path, format string, args ...any), at string) {
	kinds := 0
	for _, given := range []bool{s.Tar != "", s.OCI != "", s.RPM != nil, s.Deb != nil, s.Dir != ""} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		fault(at, "%s: want exactly one of tar, oci, rpm, deb and dir", at)
		return
	}
	if s.Ref != "" && (s.OCI == "" || s.InRegistry()) {
		fault(at+".ref", "%s.ref: goes with oci and a path only", at)
	}
	if s.Cosign != "" && !s.InRegistry() {
		fault(at+".cosign", "%s.cosign: goes with oci and a registry only", at)
	}
	if len(s.Entries) > 0 && s.Dir == "" {
		fault(at+".entries", "%s.entries: goes with dir only", at)
	}
	for i, e := range s.Entries {
		if e.Path == "" || strings.HasPrefix(e.Path, "/") || e.Path != path.Clean(e.Path) || strings.HasPrefix(e.Path, "..") {
			entry := fmt.Sprintf("%s.entries[%d].path", at, i)
			fault(entry, "%s: %q: want a path relative to the folder, without .. and double slashes", entry, clip(e.Path))
		}
	}
	if s.RPM != nil {
		s.RPM.check(fault, at+".rpm")
	}
	if s.Deb != nil {
		s.Deb.check(fault, at+".deb")
	}
}

func (r *RPM) check(fault func(path, format string, args ...any), at string) {
	checkPackages(fault, at, r.Packages, r.Exclude, len(r.Repositories))
	for i, repository := range r.Repositories {
		at := fmt.Sprintf("%s.repositories[%d]", at, i)
		checkLocation(fault, at+".url", repository.URL)
		if len(repository.GPGKey) == 0 {
			fault(at+".gpgkey", "%s.gpgkey is missing: name the keys that its packages are signed by", at)
		}
		const most = 999
		if p := repository.Priority; p != nil && (*p < 1 || *p > most) {
			fault(at+".priority", "%s.priority: %d: want 1 to %d", at, *p, most)
		}
	}
}

func (d *Deb) check(fault func(path, format string, args ...any), at string) {
	checkPackages(fault, at, d.Packages, d.Exclude, len(d.Repositories))
	for i, repository := range d.Repositories {
		at := fmt.Sprintf("%s.repositories[%d]", at, i)
		checkLocation(fault, at+".url", repository.URL)
		if len(repository.Suites) == 0 {
			fault(at+".suites", "%s.suites is missing: name at least one, such as bookworm", at)
		}
		for _, name := range append(append([]string{}, repository.Suites...), repository.Components...) {
			if !plainName.MatchString(name) || strings.Contains(name, "..") {
				fault(at, "%s: suite or component %q: want letters, digits and . _ - + /", at, clip(name))
			}
		}
		if len(repository.SignedBy) == 0 {
			fault(at+".signedBy", "%s.signedBy is missing: name the keys that InRelease is signed by", at)
		}
	}
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+/-]{0,127}$`)

func checkPackages(fault func(path, format string, args ...any), at string, packages, exclude []string, repositories int) {
	if len(packages) == 0 {
		fault(at+".packages", "%s.packages: want at least one", at)
	}
	for i, name := range packages {
		if !printable(name) {
			fault(fmt.Sprintf("%s.packages[%d]", at, i), "%s.packages[%d]: %q: want the name of a package", at, i, clip(name))
		} else if repositories == 0 && !IsPackageFile(name) {
			fault(fmt.Sprintf("%s.packages[%d]", at, i), "%s.packages[%d]: %q: there are no repositories to find it in", at, i, clip(name))
		}
	}
	for i, name := range exclude {
		if !printable(name) {
			fault(fmt.Sprintf("%s.exclude[%d]", at, i), "%s.exclude[%d]: %q: want the name of a package", at, i, clip(name))
		}
	}
}

// IsPackageFile reports whether an item of a package list is the path of a
// file, relative to the recipe or absolute.
func IsPackageFile(name string) bool {
	return strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../") || strings.HasPrefix(name, "/")
}

func printable(s string) bool {
	if s == "" || len(s) > 1024 || s != strings.TrimSpace(s) {
		return false
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return false
		}
	}
	return true
}

func checkLocation(fault func(path, format string, args ...any), at, location string) {
	if IsPackageFile(location) {
		return
	}
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		fault(at, "%s %q: want an http or https URL without user, ? and #, or a path that starts with ./ or /", at, clip(location))
	}
}
