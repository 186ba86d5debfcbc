package rpmrepository

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// pack is one package to be made.
type pack struct {
	name, version, release string
	summary, license       string
	requires, provides     []string // as spec files have them
	files                  []string // absolute paths; folders only where no other package has them
	config                 []string // of files
	from                   string   // the folder with its files
	more                   string   // the rest of the spec file
}

// describe is what is made of the unpacked archives.
func (w workshop) describe() ([]pack, error) {
	stanzas, err := w.stanzas()
	if err != nil {
		return nil, err
	}
	names := slices.Clone(debianNames)
	for name := range stanzas {
		if strings.HasPrefix(name, kernelName) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	taken := map[string]bool{}
	var all []pack
	for _, name := range names {
		p, err := w.fromDebian(name, names, stanzas)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", name, err)
		}
		for _, file := range p.files {
			taken[file] = true
		}
		all = append(all, p)
	}
	rest, err := w.rest(taken)
	if err != nil {
		return nil, err
	}
	return append(all, rest...), nil
}

// stanzas are the fields of the packages in the Debian root, by name.
func (w workshop) stanzas() (map[string]map[string]string, error) {
	text, err := os.ReadFile(w.path("debian", "var", "lib", "dpkg", "status"))
	if err != nil {
		return nil, err
	}
	all := map[string]map[string]string{}
	for stanza := range strings.SplitSeq(string(text), "\n\n") {
		fields, last := map[string]string{}, ""
		for line := range strings.Lines(stanza) {
			if line[0] == ' ' {
				fields[last] += "\n" + strings.TrimSpace(line)
			} else if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				last, fields[name] = name, strings.TrimSpace(value)
			}
		}
		all[fields["Package"]] = fields
	}
	return all, nil
}

// fromDebian is a Debian package as an RPM package. It requires what it depends
// on, as far as that is among names.
func (w workshop) fromDebian(name string, names []string, stanzas map[string]map[string]string) (pack, error) {
	fields, ok := stanzas[name]
	if !ok {
		return pack{}, fmt.Errorf("is not in the Debian root")
	}
	summary, _, _ := strings.Cut(fields["Description"], "\n")
	p := pack{name: name, summary: summary, license: "as in Debian", from: w.path("debian")}
	p.version, p.release = version(fields["Version"])
	switch {
	case strings.HasPrefix(name, kernelName):
		p.provides = []string{"kernel = " + p.version}
	case name == "libc6":
		p.provides = []string{"rtld(GNU_HASH)"} // which programs require of the loader
	}
	for relation := range strings.SplitSeq(fields["Depends"]+","+fields["Pre-Depends"], ",") {
		relation, _, _ = strings.Cut(relation, "|")
		words := strings.Fields(strings.NewReplacer("(", " ", ")", " ", "<<", "<", ">>", ">").Replace(relation))
		if len(words) == 0 || !slices.Contains(names, words[0]) {
			continue
		}
		if len(words) == 3 {
			v, r := version(words[2])
			words[2] = v
			if r != "1" {
				words[2] += "-" + r
			}
		}
		p.requires = append(p.requires, strings.Join(words, " "))
	}
	lists, err := filepath.Glob(w.path("debian", "var", "lib", "dpkg", "info", name+".list"))
	if err == nil && len(lists) == 0 {
		lists, err = filepath.Glob(w.path("debian", "var", "lib", "dpkg", "info", name+":*.list"))
	}
	if err != nil || len(lists) != 1 {
		return pack{}, fmt.Errorf("file lists %q, %v: want one", lists, err)
	}
	list, err := os.ReadFile(lists[0])
	if err != nil {
		return pack{}, err
	}
	p.files = w.listed(strings.Fields(string(list)))
	for line := range strings.Lines(fields["Conffiles"]) {
		if words := strings.Fields(line); len(words) > 1 {
			p.config = append(p.config, words[0])
		}
	}
	return p, nil
}

// version splits Debian's versions: RPM has no "-" in versions, and a release.
func version(debian string) (version, release string) {
	if _, after, ok := strings.Cut(debian, ":"); ok {
		debian = after
	}
	at := strings.LastIndex(debian, "-")
	if at < 0 {
		return debian, "1"
	}
	return strings.ReplaceAll(debian[:at], "-", "."), debian[at+1:]
}

// listed are the files and links of a list of dpkg's that were unpacked, with
// merged /usr.
func (w workshop) listed(paths []string) []string {
	found := map[string]bool{}
	for _, p := range paths {
		for _, merged := range []string{"/bin/", "/sbin/", "/lib/", "/lib64/"} {
			if strings.HasPrefix(p, merged) {
				p = "/usr" + p
			}
		}
		info, err := os.Lstat(w.path("debian", p))
		if err != nil || path.Dir(p) == "/" || info.IsDir() {
			continue // folders are those of filesystem, and those that files need
		}
		found[p] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// rest are the packages for what the appliance has beyond Debian's packages:
// filesystem has the folders, the links between them and the users, and
// appliance everything else.
func (w workshop) rest(taken map[string]bool) ([]pack, error) {
	filesystem := pack{name: "filesystem", summary: "Folders that all packages use", from: w.path("appliance")}
	appliance := pack{name: "appliance", summary: "A guest that boots in seconds", from: w.path("appliance"), provides: []string{"/bin/sh"}, more: applianceSpec}
	root := w.path("appliance")
	err := filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		p := at[len(root):]
		if err != nil || p == "" || taken[p] || strings.HasPrefix(p, "/usr/lib/modules/") && !d.IsDir() {
			return err
		}
		switch dir := path.Dir(p); {
		case d.IsDir() && strings.HasPrefix(p, "/usr/lib/modules"):
		case d.IsDir(), d.Type() == fs.ModeSymlink && (dir == "/" || dir == "/var"):
			filesystem.files = append(filesystem.files, p)
		case p == "/etc/passwd" || p == "/etc/group":
			filesystem.files = append(filesystem.files, p)
			filesystem.config = append(filesystem.config, p)
		default:
			appliance.files = append(appliance.files, p)
		}
		return nil
	})
	appliance.requires = append([]string{"filesystem", "kernel"}, debianNames...)
	for _, p := range []*pack{&filesystem, &appliance} {
		p.version, p.release, p.license = "1.0", "1", "Apache-2.0"
	}
	return []pack{filesystem, appliance}, err
}

// spec is the package's spec file. The list of its files is in the file list.
func (p pack) spec(list string) string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "Name: %s\nVersion: %s\nRelease: %s\nSummary: %s\nLicense: %s\n", p.name, p.version, p.release, p.summary, p.license)
	for _, r := range p.requires {
		fmt.Fprintf(&out, "Requires: %s\n", r)
	}
	if strings.HasPrefix(p.name, kernelName) {
		// Looking for what thousands of modules provide takes longer than all the rest.
		out.WriteString("AutoReqProv: no\n")
	}
	for _, r := range p.provides {
		fmt.Fprintf(&out, "Provides: %s\n", r)
	}
	fmt.Fprintf(&out, "%%description\n%s.\n%%files -f %s\n%%defattr(-,root,root)\n%s", p.summary, list, p.more)
	return out.String()
}

// applianceSpec is what packages can have and Debian's do not: a user of its
// own, files that belong to it, a file with capabilities, a file that is not
// there yet, a script.
const applianceSpec = `%attr(0750,gateway,gateway) %dir /var/lib/gateway
%attr(0640,root,gateway) %config(noreplace) /etc/gateway.conf
%caps(cap_net_raw=ep) /usr/bin/busybox-gateway
%ghost /var/lib/gateway/state
%attr(0644,root,root) /usr/lib/sysusers.d/gateway.conf
%post
systemd-sysusers gateway.conf
ldconfig
`
