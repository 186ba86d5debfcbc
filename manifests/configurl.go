package manifests

import (
	"fmt"
	"net/url"
	"regexp"
)

var lowerHexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ParseConfigURL reads what the words proa.config= and proa.config.sha256= of the
// kernel's command line say: where a machine fetches its configuration, and the SHA-256
// of that in hex digits, which may be empty for https. Whoever answers decides about the
// machine, so plain http is only for what has a digest.
func ParseConfigURL(address, sha256 string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("proa.config=: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("proa.config=%.200s: want a URL, https or http", u.Redacted())
	case sha256 != "" && !lowerHexDigest.MatchString(sha256):
		return nil, fmt.Errorf("proa.config.sha256=%.80s: want 64 hex digits in lower case", sha256)
	case u.Scheme == "http" && sha256 == "":
		return nil, fmt.Errorf("proa.config=%.200s: anybody in between can change what comes over http: want https, or its digest in proa.config.sha256=", u.Redacted())
	}
	return u, nil
}
