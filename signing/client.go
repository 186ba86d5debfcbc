package signing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	tuf "github.com/theupdateframework/go-tuf/v2/metadata"
)

// Config is what a Client needs.
type Config struct {
	URL  string           // of the repository: metadata/ and targets/ are under it; required
	Dir  string           // where trusted metadata is kept from run to run, made if missing; required
	Root []byte           // the trust root that came with the image; required
	HTTP *http.Client     // nil means one with the standard transport
	Now  func() time.Time // nil means time.Now
	// Earliest is a time that is certainly past, such as the image's epoch, by
	// which a clock that was never set is found out. Optional.
	Earliest time.Time
	Limits   Limits
}

// Client reads a repository as a host must: it believes nothing that the
// chain from its trusted root does not vouch for. It is not for concurrent use,
// and only one Client at a time may use a Dir.
type Client struct {
	fetcher *fetcher
	store   store
	limits  Limits
	now     func() time.Time
	early   time.Time
	baked   []byte
	start   []byte    // the newest trusted root
	trusted *verifier // set by a Refresh that succeeded
}

// Verified is content whose signatures have been checked. Only a Client makes
// a non-empty one, so holding it is the proof.
type Verified struct {
	name    string
	content []byte
}

// Name is the target's name.
func (v Verified) Name() string { return v.name }

// Bytes is a copy of the content.
func (v Verified) Bytes() []byte { return bytes.Clone(v.content) }

// clockTolerance is how far a clock may step back without being accused.
const clockTolerance = 10 * time.Minute

// OpenClient prepares a client; it uses no network. The newest root in Dir
// goes before the baked-in one, unless it is damaged. A baked-in root that is
// newer is taken by the next Refresh, over the chain of roots between them. One that
// replaces the root of another repository (RootChange.Replaces) has a folder below Dir,
// and the other's is not looked at.
func OpenClient(cfg Config) (*Client, error) {
	if cfg.Dir == "" || len(cfg.Root) == 0 {
		return nil, errors.New("opening repository: no folder or no trust root is configured")
	}
	limits := cfg.Limits.withDefaults()
	fetcher, err := newFetcher(cfg.URL, cfg.HTTP, limits)
	if err != nil {
		return nil, err
	}
	baked, err := newVerifier(cfg.Root, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("baked-in trust root: %w", err)
	}
	folder, err := trustedFolder(cfg.Dir, &baked.set.Root.Signed)
	if err != nil {
		return nil, fmt.Errorf("baked-in trust root: %w", err)
	}
	store, err := openStore(folder)
	if err != nil {
		return nil, fmt.Errorf("opening trusted metadata: %w", err)
	}
	c := &Client{fetcher: fetcher, store: store, limits: limits, now: cfg.Now, early: cfg.Earliest, baked: cfg.Root}
	if c.now == nil {
		c.now = time.Now
	}
	if c.start, err = c.startingRoot(baked.rootVersion()); err != nil {
		return nil, err
	}
	return c, nil
}

// startingRoot is the newest root that is trusted without asking anybody.
func (c *Client) startingRoot(baked int64) ([]byte, error) {
	data, err := c.store.load(RoleRoot)
	if err != nil {
		return nil, fmt.Errorf("reading trusted root: %w", err)
	}
	local, err := newVerifier(data, time.Time{})
	if data == nil || err != nil {
		return c.baked, nil
	}
	if local.rootVersion() == baked && !sameSigned(data, c.baked) {
		return nil, fmt.Errorf("baked-in trust root %d is another than the trusted one in %s: %w",
			baked, c.store.folder, ErrRootChain)
	}
	return data, nil
}

// sameSigned compares the signed part: the same root may carry more or fewer
// signatures.
func sameSigned(a, b []byte) bool {
	signed := func(data []byte) string {
		var envelope struct{ Signed any }
		if json.Unmarshal(data, &envelope) != nil {
			return ""
		}
		text, _ := json.Marshal(envelope.Signed)
		return string(text)
	}
	return signed(a) == signed(b)
}

// Fetch gets a target by name, such as manifests.ChannelTarget gives, and
// verifies it. Refresh must have succeeded before.
func (c *Client) Fetch(ctx context.Context, target string) (Verified, error) {
	if c.trusted == nil {
		return Verified{}, fmt.Errorf("target %s: metadata has not been refreshed", target)
	}
	if err := checkTargetName(target); err != nil {
		return Verified{}, err
	}
	info, err := c.find(ctx, target)
	if err != nil {
		return Verified{}, err
	}
	digest := info.Hashes["sha256"]
	if len(digest) != 32 || info.Length < 0 {
		return Verified{}, fmt.Errorf("target %s has no length or sha256: %w", target, ErrMalformed)
	}
	if info.Length > c.limits.Target {
		return Verified{}, fmt.Errorf("target %s of %d bytes: %w: %d", target, info.Length, ErrTooLarge, c.limits.Target)
	}
	content, err := c.fetcher.get(ctx, TargetPath(target, digest), info.Length)
	if err != nil {
		return Verified{}, err
	}
	if err := info.VerifyLengthHashes(content); err != nil {
		return Verified{}, fmt.Errorf("target %s: %w (%v)", target, ErrMismatch, err)
	}
	return Verified{target, content}, nil
}

// delegatesTo says which roles targets metadata delegates to, for somebody who
// looks for a target there.
func delegatesTo(targets *tuf.TargetsType) string {
	if targets.Delegations == nil {
		return ""
	}
	const most = 4
	var names []string
	for _, role := range targets.Delegations.Roles {
		if len(names) == most {
			return fmt.Sprintf(" (roles that it delegates to have no say: %s, …)", strings.Join(names, ", "))
		}
		names = append(names, fmt.Sprintf("%.40q", role.Name))
	}
	return fmt.Sprintf(" (roles that it delegates to have no say: %s)", strings.Join(names, ", "))
}

// TargetPath is where a repository with consistent snapshots keeps a target,
// relative to its root: "targets/<folder>/<sha256 in hex>.<name>".
func TargetPath(target string, digest []byte) string {
	folder, name := path.Split(target)
	return fmt.Sprintf("targets/%s%x.%s", folder, digest, name)
}

// checkTargetName allows names that mean the same in a URL and in a folder:
// relative, clean, of [A-Za-z0-9._~^+-] between slashes, at most 512 bytes.
func checkTargetName(name string) error {
	bad := name == "" || len(name) > 512 || strings.HasPrefix(name, "/") || path.Clean(name) != name ||
		strings.HasPrefix(name, "..") || strings.ContainsFunc(name, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("/._~^+-", r)
	})
	if bad || name == "." {
		return fmt.Errorf("target name %.80q: want a clean relative path of A-Z a-z 0-9 . _ ~ ^ + -: %w", name, ErrMalformed)
	}
	return nil
}
