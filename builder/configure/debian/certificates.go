package debian

import (
	"bytes"
	"crypto/sha1"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/proa-os/proa/builder/tree"
)

const (
	certificateFolder = "usr/share/ca-certificates"
	localFolder       = "usr/local/share/ca-certificates"
	certificateConfig = "etc/ca-certificates.conf"
	trusted           = "etc/ssl/certs"

	maxCertificates = 10_000
	maxBundle       = 64 << 20 // bytes
)

const certificateHead = `# Certificates of /usr/share/ca-certificates for update-ca-certificates(8) to
# put into /etc/ssl/certs. A line that begins with ! names one that it leaves
# out.
#
`

// certificates is update-ca-certificates(8): etc/ssl/certs has a link to each
// certificate by its name and by the hash of its subject, and all of them in
// one file. Those that the image adds in usr/local/share/ca-certificates are
// among them.
func certificates(t *tree.Tree, source string) error {
	if _, there := t.Resolve(localFolder); !there {
		if err := t.Put(localFolder, &tree.Node{Kind: tree.Directory, Mode: 0o755, Source: source}); err != nil {
			return err
		}
	}
	all, err := find(t, certificateFolder, ".crt")
	if err != nil {
		return err
	}
	if err := list(t, all, source); err != nil {
		return err
	}
	chosen, err := choose(t)
	if err != nil {
		return err
	}
	local, err := find(t, localFolder, ".crt")
	if err != nil {
		return err
	}
	var bundle bytes.Buffer
	hashes := map[string]int{}
	links := map[string]string{} // by file, its link's name
	files := append(chosen, local...)
	if len(files) > maxCertificates {
		return fmt.Errorf("%d certificates: want at most %d", len(files), maxCertificates)
	}
	for _, file := range files {
		data, err := t.ReadFile(file, maxText)
		if err != nil {
			return err
		}
		if bundle.Write(data); bundle.Len() > maxBundle {
			return fmt.Errorf("certificates of more than %d bytes", maxBundle)
		}
		if len(data) > 0 && data[len(data)-1] != '\n' {
			bundle.WriteByte('\n')
		}
		links[file] = strings.NewReplacer(" ", "_", "(", "=", ")", "=", ",", "_").Replace(strings.TrimSuffix(path.Base(file), ".crt")) + ".pem"
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(links[a], links[b]) })
	for _, file := range files {
		data, err := t.ReadFile(file, maxText)
		if err != nil {
			return err
		}
		if err := link(t, links[file], "/"+file, source); err != nil {
			return err
		}
		hash, err := subjectHash(data)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := link(t, fmt.Sprintf("%s.%d", hash, hashes[hash]), links[file], source); err != nil {
			return err
		}
		hashes[hash]++
	}
	if bundle.Len() == 0 {
		return nil
	}
	return put(t, path.Join(trusted, "ca-certificates.crt"), bundle.String(), source)
}

// list adds all certificates of packages to the configuration, unless it names
// some already.
func list(t *tree.Tree, all []string, source string) error {
	config := certificateHead
	if data, err := t.ReadFile(certificateConfig, maxText); err == nil {
		config = string(data)
	}
	for line := range strings.Lines(config) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return nil
		}
	}
	for _, name := range all {
		config += strings.TrimPrefix(name, certificateFolder+"/") + "\n"
	}
	return put(t, certificateConfig, config, source)
}

func link(t *tree.Tree, name, target, source string) error {
	return t.Put(path.Join(trusted, name), &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: target, Source: source})
}

// find lists the files below a folder that end in suffix, sorted by their paths.
func find(t *tree.Tree, folder, suffix string) ([]string, error) {
	names, err := t.Children(folder)
	if err != nil {
		return nil, nil
	}
	var files []string
	for _, name := range names {
		at := path.Join(folder, name)
		n, _ := t.Resolve(at)
		switch {
		case n != nil && n.Kind == tree.File && strings.HasSuffix(name, suffix):
			files = append(files, at)
		case n != nil && n.Kind == tree.Directory && strings.Count(at, "/") < 16:
			more, err := find(t, at, suffix)
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
		}
	}
	slices.Sort(files)
	return files, nil
}

// choose reads which certificates the image wants.
func choose(t *tree.Tree) ([]string, error) {
	data, err := t.ReadFile(certificateConfig, maxText)
	if err != nil {
		return nil, err
	}
	var chosen []string
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		at := path.Join(certificateFolder, line)
		if n, ok := t.Resolve(at); ok && n.Kind == tree.File && !seen[at] {
			seen[at] = true
			chosen = append(chosen, at)
		}
	}
	return chosen, nil
}

// subjectHash is the name that OpenSSL looks a certificate up by
// (X509_NAME_hash_ex): the first bytes of the SHA-1 of its subject in canonical
// form.
func subjectHash(data []byte) (string, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return "", fmt.Errorf("not a certificate in PEM")
	}
	var certificate struct {
		Signed struct {
			Version    int `asn1:"optional,explicit,default:0,tag:0"`
			Serial     asn1.RawValue
			Algorithm  asn1.RawValue
			Issuer     asn1.RawValue
			Validity   asn1.RawValue
			Subject    []attributeSET
			Key        asn1.RawValue
			IssuerID   asn1.RawValue `asn1:"optional,tag:1"`
			SubjectID  asn1.RawValue `asn1:"optional,tag:2"`
			Extensions asn1.RawValue `asn1:"optional,explicit,tag:3"`
		}
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(block.Bytes, &certificate); err != nil {
		return "", fmt.Errorf("not a certificate: %w", err)
	}
	var canonical []byte
	for _, name := range certificate.Signed.Subject {
		for i := range name {
			if err := name[i].canonical(); err != nil {
				return "", err
			}
		}
		encoded, err := asn1.Marshal(name)
		if err != nil {
			return "", err
		}
		canonical = append(canonical, encoded...)
	}
	sum := sha1.Sum(canonical)
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:4])), nil
}

// attributeSET is one relative name of a subject; encoding/asn1 knows a set by
// the end of its type's name.
type attributeSET []attribute

type attribute struct {
	Kind  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// canonical makes a text UTF-8, lower case, and of single blanks.
func (a *attribute) canonical() error {
	text := a.Value.Bytes
	switch a.Value.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String, asn1.TagNumericString, 26: // VisibleString
		if a.Value.Tag == asn1.TagT61String {
			var wide strings.Builder
			for _, c := range text {
				wide.WriteRune(rune(c))
			}
			text = []byte(wide.String())
		}
	case asn1.TagBMPString:
		var units []uint16
		for i := 0; i+1 < len(text); i += 2 {
			units = append(units, binary.BigEndian.Uint16(text[i:]))
		}
		text = []byte(string(utf16.Decode(units)))
	default:
		return nil
	}
	lower := bytes.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
	joined := strings.Join(strings.FieldsFunc(string(lower), func(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }), " ")
	a.Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(joined)}
	return nil
}
