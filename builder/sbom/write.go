package sbom

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// write writes the document. Files and relationships, of which there are many,
// are made one by one: the library writes a document with one of each, and the
// real ones take their places.
func (d *document) write(w io.Writer) error {
	spdx := d.finish()
	describes := d.relationship(relation{common.TypeRelationshipDescribe, documentID, systemID})
	spdx.Relationships = []*v2_3.Relationship{describes}
	if len(d.files) > 0 {
		spdx.Files = []*v2_3.File{d.file(d.files[0])}
	}
	var frame bytes.Buffer
	if err := spdxjson.Write(spdx, &frame, spdxjson.EscapeHTML(false), spdxjson.Indent(" ")); err != nil {
		return err
	}
	e := &elements{frame: frame.Bytes(), out: bufio.NewWriterSize(w, 1<<20)}
	for i, f := range d.files {
		e.add("files", i, d.file(f))
	}
	e.add("relationships", 0, describes)
	for i, r := range d.relations {
		e.add("relationships", i+1, d.relationship(r))
	}
	return e.end()
}

func (d *document) file(f file) *v2_3.File {
	return &v2_3.File{
		FileName:           "./" + f.path,
		FileSPDXIdentifier: f.id,
		Checksums: []common.Checksum{
			{Algorithm: common.SHA1, Value: fmt.Sprintf("%x", f.sums.SHA1)},
			{Algorithm: common.SHA256, Value: fmt.Sprintf("%x", f.sums.SHA256)},
		},
		LicenseConcluded:   noAssertion,
		LicenseInfoInFiles: []string{noAssertion},
		FileCopyrightText:  noAssertion,
	}
}

func (d *document) relationship(r relation) *v2_3.Relationship {
	return &v2_3.Relationship{
		RefA:         common.DocElementID{ElementRefID: r.a},
		RefB:         common.DocElementID{ElementRefID: r.b},
		Relationship: r.kind,
	}
}

// elements puts those of arrays behind the first ones that a frame has.
type elements struct {
	frame []byte // what is still to be written
	out   *bufio.Writer
	err   error
}

// add writes element i of a list; the frame has the first.
func (e *elements) add(list string, i int, element any) {
	if e.err != nil {
		return
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("  ", " ")
	if e.err = encoder.Encode(element); e.err != nil {
		return
	}
	body := bytes.TrimRight(text.Bytes(), "\n")
	if i > 0 {
		e.out.WriteString(",\n  ")
		_, e.err = e.out.Write(body)
		return
	}
	begin := fmt.Appendf(nil, "\n %q: [\n  ", list)
	at := bytes.Index(e.frame, begin)
	if at < 0 || !bytes.HasPrefix(e.frame[at+len(begin):], body) {
		e.err = fmt.Errorf("bill of materials: the first of its %s is not where it should be", list)
		return
	}
	end := at + len(begin) + len(body)
	_, e.err = e.out.Write(e.frame[:end])
	e.frame = e.frame[end:]
}

func (e *elements) end() error {
	if e.err != nil {
		return e.err
	}
	if _, err := e.out.Write(e.frame); err != nil {
		return err
	}
	return e.out.Flush()
}
