package registry

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Reference is where a repository is kept: a tag in a registry.
type Reference struct {
	Host string // with a port, if it is not the usual one
	Name string // of the repository in the registry
	Tag  string

	path string // of the URL
}

// Scheme is what the URL of a Reference begins with.
const Scheme = "oci"

// ParseReference reads "oci://host[:port]/name[:tag]". The tag is "latest" where
// none is given. Names and tags are as the OCI Distribution Specification 1.1 has
// them ("Pulling manifests").
func ParseReference(text string) (Reference, error) {
	const most = 1024
	if len(text) > most {
		return Reference{}, fmt.Errorf("repository of %d bytes: want at most %d", len(text), most)
	}
	bad := func(rule string) (Reference, error) {
		return Reference{}, fmt.Errorf("repository %.200q: want oci://host/name:tag%s", text, rule)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != Scheme || u.Opaque != "" || u.Hostname() == "" {
		return bad("")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.RawPath != "" {
		return bad(", and nothing else")
	}
	if strings.Contains(u.Path, "@") {
		return bad(", and no digest: hosts follow the tag")
	}
	name, tag, tagged := strings.Cut(strings.TrimPrefix(u.Path, "/"), ":")
	if !tagged {
		tag = "latest"
	}
	if !validName(name) {
		return bad(" with a name of lower-case letters and digits, and single . _ - between them")
	}
	if !validTag(tag) {
		return bad(" with a tag of at most 128 letters, digits and . _ -")
	}
	return Reference{Host: u.Host, Name: name, Tag: tag, path: u.Path}, nil
}

// String is the reference as ParseReference reads it.
func (r Reference) String() string {
	return Scheme + "://" + r.Host + "/" + r.Name + ":" + r.Tag
}

// url is that of something in the registry's repository.
func (r Reference) url(kind, item string) *url.URL {
	return &url.URL{Scheme: r.webScheme(), Host: r.webHost(), Path: "/v2/" + r.Name + "/" + kind + "/" + item}
}

// webScheme is https, but for registries on this machine.
func (r Reference) webScheme() string {
	host := url.URL{Host: r.Host}
	if OnThisMachine(host.Hostname()) {
		return "http"
	}
	return "https"
}

// webHost is the host, and for docker.io the one that answers.
func (r Reference) webHost() string {
	if r.Host == "docker.io" {
		return "index.docker.io"
	}
	return r.Host
}

// OnThisMachine reports whether a host is this machine, where http will do.
func OnThisMachine(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// validName is for "part/part", where a part is runs of [a-z0-9] with one of
// ".", "_", "__" or any number of "-" between them.
func validName(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		between := ""
		for i, r := range part {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				if i == len(between) && between != "" || !validBetween(between) {
					return false
				}
				between = ""
				continue
			}
			between += string(r)
		}
		if part == "" || between != "" {
			return false
		}
	}
	return true
}

func validBetween(s string) bool {
	return s == "." || s == "_" || s == "__" || strings.Trim(s, "-") == ""
}

func validTag(tag string) bool {
	if tag == "" || len(tag) > 128 || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(tag, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("._-", r)
	})
}
