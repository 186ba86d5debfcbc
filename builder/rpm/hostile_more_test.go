package rpm_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	. "github.com/proa-os/proa/builder/rpm/rpmtest"
)

func hostileFiles() []hostile {
	one := []File{Plain("/f", "x")}
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	return []hostile{
		becomes("every mode bit", []File{{Path: "/f", Mode: 0o107777, Body: "x"}}, `f file 7777 0:0 "x"`),
		refused("mode of no kind", "of no kind of file", File{Path: "/f", Mode: 0o644}),
		more("mode of 32 bits", "want at most 0177777", one, Numbers(1030, Int32, 0o1100644)),
		becomes("devices, FIFO and socket", []File{{Path: "/null", Mode: 0o020666, Device: 1<<8 | 3}, {Path: "/p", Mode: 0o010600},
			{Path: "/s", Mode: 0o140600}, {Path: "/sda", Mode: 0o060660, Device: 8 << 8}},
			"null character device 0666 0:0 1:3", "p FIFO 0600 0:0", "s socket 0600 0:0", "sda block device 0660 0:0 8:0"),
		payload("device with contents", "is not a regular file", []File{{Path: "/null", Mode: 0o020666}},
			Archive(Entry(Fields{Name: "./null"}, "x"))),
		payload("directory with contents", "is not a regular file", []File{Dir("/d")}, Archive(Entry(Fields{Name: "./d"}, "x"))),
		becomes("the archive's mode does not count", []File{{Path: "/f", Body: "x"}}, `f file 0644 0:0 "x"`),
		becomes("capability", []File{{Path: "/f", Body: "x", Caps: "cap_net_raw=ep"}},
			fmt.Sprintf(`f file 0644 0:0 "x" security.capability=%q`, capability)),
		refused("unknown capability", "is not a capability of Linux", File{Path: "/f", Body: "x", Caps: "cap_evil=ep"}),
		refused("capability without an operator", "has none of = + -", File{Path: "/f", Body: "x", Caps: "cap_net_raw"}),
		refused("capabilities of a directory", "is not a regular file", File{Path: "/d", Mode: 0o040755, Caps: "cap_net_raw=ep"}),
		refused("capabilities of 5000 bytes", "want at most 4096", File{Path: "/f", Body: "x", Caps: strings.Repeat("=", 5000)}),
		more("no digest", "it has no digest", one, Words(1035, "")),
		refused("wrong digest", "want the header's", File{Path: "/f", Body: "x", Digest: strings.Repeat("0", 64)}),
		refused("size that is too small", "want the header's 1", File{Path: "/f", Body: "xyz", Size: 1}),
		more("size of 2^63", "size of 9223372036854775808 bytes", one, Numbers(5008, Int64, 1<<63)),
		more("empty owner", `owner "" and group "root"`, one, Words(1039, "")),
		more("fewer modes than files", "tag 1030 has 1 values: want 2", []File{Plain("/a", ""), Plain("/b", "")}, Numbers(1030, Int16, 0o100644)),
		more("more owners than files", "tag 1039 has 2 values: want 1", one, Words(1039, "root", "root")),
		more("numbers where strings belong", "want strings", one, Numbers(1117, Int32, 1)),
		more("strings where numbers belong", "want numbers", one, Words(1030, "1")),
		{"no owners", Package{Files: one, Without: []uint32{1039}}, "tag 1039 has 0 values", nil},
		more("file digests of an unknown algorithm", "algorithm 99", one, Numbers(5011, Int32, 99)),
		becomes("ghosts are not there", []File{{Path: "/var/log/x", Mode: 0o100640, Flags: 64}, Plain("/f", "x")}, `f file 0644 0:0 "x"`),
		payload("ghost in the archive", "is a %ghost", []File{{Path: "/g", Flags: 64}}, Archive(Entry(Fields{Name: "./g"}, "x"))),
	}
}

func hostilePayloads() []hostile {
	one, empty := []File{Plain("/f", "x")}, []File{Plain("/f", "")}
	entry := func(f Fields) []byte { f.Name = "./f"; return Archive(Entry(f, "x")) }
	compressed := func(name, words, compressor string, compress func([]byte) []byte) hostile {
		return hostile{name, Package{Files: one, Compress: compress, More: []Value{Word(1125, compressor)}}, words, nil}
	}
	bomb := Package{Files: []File{{Path: "/f", Size: 1 << 31, Digest: "0"}}}
	bomb.Payload = append(Join(Entry(Fields{Name: "./f", Size: "80000000"}, "")), make([]byte, 48<<20)...)
	return []hostile{
		payload("no archive", "unexpected EOF", one, []byte{}),
		payload("not an archive", "where an entry of cpio starts", one, []byte(strings.Repeat("rubbish ", 100))),
		payload("old archive", "where an entry of cpio starts", one, entry(Fields{Magic: "070707"})),
		payload("archive without an end", "unexpected EOF", one, Join(Entry(Fields{Name: "./f"}, "x"))),
		payload("archive cut in a file", "unexpected EOF", one, Join(Entry(Fields{Name: "./f", Size: "00000001"}, ""))),
		payload("something behind the archive", "behind the end of the archive", one, append(entry(Fields{}), "more"...)),
		{"zeros behind the archive", Package{Files: one, Payload: append(entry(Fields{}), make([]byte, 512)...)}, "", []string{`f file 0644 0:0 "x"`}},
		payload("twice in the archive", "is there twice", empty, Archive(Entry(Fields{Name: "./f"}, ""), Entry(Fields{Name: "f"}, ""))),
		payload("missing in the archive", `"f" is missing`, one, Archive()),
		payload("size of 2^32-1", "want the header's 1", one, entry(Fields{Size: "ffffffff"})),
		payload("size that is no number", "want 8 hexadecimal digits", one, entry(Fields{Size: "+0000001"})),
		payload("name of 2^32-1 bytes", "name of 4294967294 bytes", one, entry(Fields{NameSize: "ffffffff"})),
		payload("name of 0 bytes", "name of -1 bytes", one, entry(Fields{NameSize: "00000000"})),
		payload("name without its zero", "want one zero", one, entry(Fields{NameSize: "00000003"})),
		payload("zero in a name", "want one zero", one, Archive(Entry(Fields{Name: "./f\x00../evil"}, "x"))),
		{"stripped archive", Package{Files: one, Payload: Archive(Stripped(0, "x"))}, "", []string{`f file 0644 0:0 "x"`}},
		payload("stripped archive with file 1 of 1", "file 1 of 1", one, Archive(Stripped(1, "x"))),
		payload("stripped archive with file 2^32-1", "file 4294967295 of 1", one, Archive(Stripped(1<<32-1, "x"))),
		payload("stripped archive, twice", "is there twice", one, Archive(Stripped(0, "x"), Stripped(0, "x"))),
		payload("stripped archive that is cut", "unexpected EOF", one, Stripped(0, "")),
		{"bomb", bomb, "-fold", nil},
		compressed("another compressor than said", "the header says \"xz\"", "xz", Gzip),
		compressed("not compressed", "is plain", "gzip", slices.Clone[[]byte]),
		compressed("unknown compressor", `the header says "evil"`, "evil", Gzip),
		compressed("compressor that the payload is not", "is zstd", "gzip", func(data []byte) []byte { return filter("zstd", data) }),
		compressed("cut stream", "unexpected EOF", "gzip", func(data []byte) []byte { packed := Gzip(data); return packed[:len(packed)-12] }),
		compressed("wrong checksum of a stream", "invalid checksum", "gzip", func(data []byte) []byte {
			packed := Gzip(data)
			packed[len(packed)-8] ^= 1
			return packed
		}),
		more("payload of another format", "want cpio", one, Word(1124, "drpm")),
	}
}

func hostileHeaders() []hostile {
	one := []File{Plain("/f", "x")}
	header := func(name, words string, change func([]byte)) hostile {
		return hostile{name, Package{Files: one, Header: func(h []byte) []byte { change(h); return h }}, words, nil}
	}
	put := func(at int, b ...byte) func([]byte) { return func(h []byte) { copy(h[at:], b) } }
	value := func(name, words string, v Value) hostile { return more(name, words, one, v) }
	at := func(offset uint32) func(uint32) uint32 { return func(uint32) uint32 { return offset } }
	return []hostile{
		header("no tags", "has 0 tags", put(8, 0, 0, 0, 0)),
		header("2^32-1 tags", "has 4294967295 tags", put(8, 255, 255, 255, 255)),
		header("65535 tags that are not there", "more than the file", put(8, 0, 0, 255, 255)),
		header("2^31 bytes of values", "2147483648 bytes of values", put(12, 128, 0, 0, 0)),
		header("200 MiB of values that are not there", "more than the file", put(12, 0x0c, 0, 0, 0)),
		header("another magic number", "want the magic number", put(3, 2)),
		header("no region", "want its region", put(16, 0, 0, 0, 100)),
		header("region of another length", "want its region", put(28, 0, 0, 0, 8)),
		header("region elsewhere", "is at byte", put(24, 127, 0, 0, 0)),
		{"tag behind the signed region", Package{Files: one, Header: func(h []byte) []byte {
			tags := int(binary.BigEndian.Uint32(h[8:]))
			binary.BigEndian.PutUint32(h[8:], uint32(tags+1))
			binary.BigEndian.PutUint32(h[12:], uint32(len(h)-16-16*tags+4))
			late := []byte{0, 0, 39, 15, 0, 0, 0, 7}
			late = binary.BigEndian.AppendUint32(late, uint32(len(h)-16-16*tags))
			return slices.Concat(h[:16+16*tags], append(late, 0, 0, 0, 4), h[16+16*tags:], []byte("evil"))
		}}, "of which its region holds", nil},
		{"region without its last tags", Package{Files: one, Header: func(h []byte) []byte {
			copy(h[len(h)-8:], []byte{0xff, 0xff, 0xff, 0x80}) // the trailer's offset counts tags, 16 bytes each
			return h
		}}, "overlaps the value before it", nil},
		{"region of more tags than there are", Package{Files: one, Header: func(h []byte) []byte {
			copy(h[len(h)-8:], []byte{0xff, 0x00, 0, 0})
			return h
		}}, "want the tags that it holds", nil},
		value("2^32-1 values", "values in", Value{Tag: 9999, Kind: Int32, Count: 1<<32 - 1, Data: make([]byte, 4)}),
		value("2^30 values of 4 bytes", "values in", Value{Tag: 9999, Kind: Int32, Count: 1 << 30, Data: make([]byte, 4)}),
		value("no values", "has 0 values", Value{Tag: 9999, Kind: Int32}),
		value("strings without an end", "the zero byte that ends each", Value{Tag: 9999, Kind: Strings, Count: 14, Data: []byte("a\x00b\x00c")}),
		value("several values in one string", "counts 2", Value{Tag: 9999, Kind: Text, Count: 2, Data: []byte("a\x00b\x00")}),
		value("offset behind the end", "is at byte 268435455", Value{Tag: 9999, Kind: Int32, Count: 1, Offset: at(1<<28 - 1)}),
		value("negative offset", "is at byte -1", Value{Tag: 9999, Kind: Int32, Count: 1, Offset: at(1<<32 - 1)}),
		value("odd offset", "want a multiple of 4", Value{Tag: 9999, Kind: Int32, Count: 1, Data: make([]byte, 9), Offset: func(n uint32) uint32 { return n + 1 }}),
		value("overlapping values", "overlaps the value before it", Value{Tag: 9999, Kind: Int32, Count: 1, Data: make([]byte, 4), Offset: at(0)}),
		value("value of no kind", "is of kind 0", Value{Tag: 9999, Count: 1}),
		value("value of an unknown kind", "is of kind 99", Value{Tag: 9999, Kind: 99, Count: 1}),
		more("tag twice", "has tag 9999 twice", one, Word(9999, "a"), Word(9999, "b")),
		value("empty name", "tag 1000 is", Word(1000, "")),
		value("name with a slash", "want a word", Word(1000, "../evil")),
		value("version with a newline", "want a word", Word(1001, "1\n2")),
		{"no architecture", Package{Without: []uint32{1022}}, "tag 1022 is", nil},
		{"source package", Package{Without: []uint32{1044}}, "a source package", nil},
		more("demand on a newer rpm", `demands "TimeTravel" of rpm`, one, Words(1049, "rpmlib(TimeTravel)"), Words(1050, "1"), Numbers(1048, Int32, 1<<24|8)),
		more("rich dependency that is cut", "requirement", one, Words(1049, "(a if"), Words(1050, ""), Numbers(1048, Int32, 0)),
		more("rich dependency of 1000 levels", "requirement", one, Words(1049, strings.Repeat("(", 1000)+"a"), Words(1050, ""), Numbers(1048, Int32, 0)),
		more("fewer versions than requirements", "tag 1050 has 1 values", one, Words(1049, "a", "b"), Words(1050, ""), Numbers(1048, Int32, 0, 0)),
		more("trigger of a script that is not there", "script 3 of 1", one, Words(1065, "x"), Words(1066, "a"), Words(1067, ""),
			Numbers(1068, Int32, 0), Numbers(1069, Int32, 3)),
	}
}

// filter runs data through a tool that the test cannot do without.
func filter(name string, data []byte) []byte {
	cmd := exec.Command(name, "-c")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		panic(err)
	}
	return out
}
