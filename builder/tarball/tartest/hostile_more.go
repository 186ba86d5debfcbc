package tartest

import (
	"archive/tar"
	"fmt"
	"strings"
)

func kinds() []Case {
	return []Case{
		becomes("devices and FIFO", []Part{
			Header(tar.Header{Typeflag: tar.TypeChar, Name: "null", Mode: 0o666, Devmajor: 1, Devminor: 3}, ""),
			Header(tar.Header{Typeflag: tar.TypeBlock, Name: "sda", Mode: 0o660, Gid: 6, Devmajor: 8}, ""),
			Header(tar.Header{Typeflag: tar.TypeFifo, Name: "p", Mode: 0o600}, ""),
		}, "null character device 0666 0:0 1:3", "p FIFO 0600 0:0", "sda block device 0660 0:6 8:0"),
		refused("minor number of 21 bits", "want at most 4095:1048575",
			Raw(Fields{Name: "d", Type: '3', Major: "0000001", Minor: "7777777"})),
		refused("negative device number", "major device number -1",
			Raw(Fields{Name: "d", Type: '3', Major: strings.Repeat("\xff", 8)})),
		refused("unknown type", "type 'Z'", Raw(Fields{Name: "z", Type: 'Z'})),
		becomes("contiguous file", []Part{Raw(Fields{Name: "c", Type: '7', Size: Octal(1)}), Padded("x")}, `c file 0644 0:0 "x"`),
		becomes("volume label", []Part{Raw(Fields{Name: "label", Type: 'V'}), File("f", "x")}, `f file 0644 0:0 "x"`),
		becomes("global header with a path", []Part{Extended('g', "path", "../evil"), File("f", "x")}, `f file 0644 0:0 "x"`),
		becomes("twice the same name", []Part{File("f", "old"), File("f", "new"), File("./f", "newest")}, `f file 0644 0:0 "newest"`),
		becomes("twice the same directory", []Part{Dir("d"), File("d/f", "x"),
			Header(tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o700}, "")},
			"d directory 0700 0:0", `d/f file 0644 0:0 "x"`),
		becomes("file, then directory", []Part{File("a", "x"), Dir("a"), File("a/b", "x")},
			"a directory 0755 0:0", `a/b file 0644 0:0 "x"`),
		becomes("directory, then file", []Part{Dir("a"), File("a/b", "x"), File("a", "y")}, `a file 0644 0:0 "y"`),
		becomes("directory on a link to it", []Part{Dir("usr/lib"), Symlink("lib", "usr/lib"), Dir("lib"), File("lib/f", "x")},
			"lib symbolic link 0777 0:0 -> usr/lib", "usr directory 0755 0:0", "usr/lib directory 0755 0:0",
			`usr/lib/f file 0644 0:0 "x"`),
		becomes("directory on a dangling link", []Part{Symlink("s", "gone"), Dir("s"), File("s/f", "x")},
			"s directory 0755 0:0", `s/f file 0644 0:0 "x"`),
		becomes("replaced target of a hard link", []Part{File("f", "old"), Hardlink("h", "f"), File("f", "new")},
			`f file 0644 0:0 "new"`, `h file 0644 0:0 "old"`),
		becomes("whiteouts mean nothing here", []Part{File("f", "x"), File(".wh.f", ""), File(".wh..wh..opq", "")},
			`.wh..wh..opq file 0644 0:0 ""`, `.wh.f file 0644 0:0 ""`, `f file 0644 0:0 "x"`),
	}
}

func attributes() []Case {
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	return []Case{
		becomes("every mode bit", []Part{Raw(Fields{Name: "f", Type: '0', Mode: "0107777"})}, `f file 7777 0:0 ""`),
		becomes("mode of a link", []Part{Raw(Fields{Name: "s", Type: '2', Link: "t", Mode: "0004000"})}, "s symbolic link 0777 0:0 -> t"),
		refused("owner 2^32-1", "owner 4294967295", PAX("f", "", "uid", "4294967295")),
		refused("owner 2^32", "owner 4294967296", PAX("f", "", "uid", "4294967296")),
		refused("negative group", "group -2", PAX("f", "", "gid", "-2")),
		becomes("owner 2^32-2", []Part{PAX("f", "", "uid", "4294967294")}, `f file 0644 4294967294:0 ""`),
		becomes("binary capability", []Part{PAX("ping", "x", "SCHILY.xattr.security.capability", capability)},
			fmt.Sprintf(`ping file 0644 0:0 "x" security.capability=%q`, capability)),
		becomes("labels and overlay marks stay data", []Part{PAX("f", "",
			"SCHILY.xattr.security.selinux", "system_u\x00", "SCHILY.xattr.trusted.overlay.opaque", "y")},
			`f file 0644 0:0 "" security.selinux="system_u\x00" trusted.overlay.opaque="y"`),
		becomes("empty attribute", []Part{PAX("f", "", "SCHILY.xattr.user.e", "")}, `f file 0644 0:0 "" user.e=""`),
		refused("attribute without a namespace", "want namespace.name", PAX("f", "", "SCHILY.xattr.evil", "x")),
		refused("attribute without a name", "want namespace.name", PAX("f", "", "SCHILY.xattr.user.", "x")),
		refused("attribute name of 256 bytes", "want namespace.name", PAX("f", "", "SCHILY.xattr.user."+strings.Repeat("a", 251), "x")),
		refused("attributes over 64 KiB", "want at most 65536", PAX("f", "", "SCHILY.xattr.user.a", strings.Repeat("x", 65536))),
		refused("uid that is no number", "invalid tar header", File("ok", ""), PAX("f", "", "uid", "root")),

		becomes("sparse file", []Part{sparse("0,2,6,2", 10, "abcd")}, `s file 0644 0:0 "ab\x00\x00\x00\x00cd\x00\x00"`),
		refused("sparse file of 1 TiB", "sparse file", sparse("0,2", 1<<40, "ab")),
		refused("sparse file that overlaps", "invalid tar header", File("ok", ""), sparse("0,2,1,2", 10, "abcd")),
		refused("sparse file of negative size", "invalid tar header", File("ok", ""), sparse("0,2", -1, "ab")),
		refused("sparse map with more than there is", "references non-existent data", File("ok", ""), sparse("0,9", 9, "ab")),
	}
}

// sparse is a file in GNU's PAX format 0.1.
func sparse(sparseMap string, size int, body string) Part {
	return PAX("s", body, "GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.name", "s",
		"GNU.sparse.numblocks", fmt.Sprint((strings.Count(sparseMap, ",")+1)/2), "GNU.sparse.map", sparseMap, "GNU.sparse.size", fmt.Sprint(size))
}

func damage() []Case {
	whole := Archive(File("a", "x"), File("b", strings.Repeat("y", 700)))
	cut := func(name string, n int, message string) Case {
		return Case{Name: name, Archive: whole[:n], Error: message}
	}
	return []Case{
		cut("nothing at all", 0, "or an empty one"),
		cut("cut in the first header", 100, "unexpected EOF"),
		cut("cut behind a header", 1024+512, "unexpected EOF"),
		cut("cut in a file", 1024+512+600, "unexpected EOF"),
		cut("cut in the padding", 1024+512+710, "ends after 2 entries without its end mark"),
		cut("cut between files", 1024, "ends after 1 entries without its end mark"),
		cut("cut before the end mark", 1024+512+1024, "ends after 2 entries without its end mark"),
		{Name: "half an end mark", Archive: append(Join(File("a", "x")), make([]byte, 512)...), Tree: []string{`a file 0644 0:0 "x"`}},
		{Name: "rubbish behind the end mark", Archive: append(Archive(File("a", "x")), "rubbish, "+strings.Repeat("more ", 500)...),
			Tree: []string{`a file 0644 0:0 "x"`}},
		{Name: "rubbish behind half an end mark", Archive: Join(File("a", "x"), make([]byte, 512), []byte(strings.Repeat("more ", 500))),
			Tree: []string{`a file 0644 0:0 "x"`}},
		refused("no entries", "the archive has no entries"),
		{Name: "not tar", Archive: []byte(strings.Repeat("not an archive ", 100)), Error: "not a tar archive"},
		{Name: "bzip2", Archive: []byte("BZh91AY&SY" + strings.Repeat("x", 600)), Error: "bzip2"},
		refused("wrong checksum", "after 1 entries: archive/tar: invalid tar header",
			File("a", ""), Raw(Fields{Name: "b", Type: '0', BadSum: true})),
		refused("size of 2^62", "unexpected EOF",
			Raw(Fields{Name: "f", Type: '0', Size: "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00"})),
		refused("negative size", "invalid tar header", File("ok", ""),
			Raw(Fields{Name: "f", Type: '0', Size: strings.Repeat("\xff", 12)})),
		refused("size of 8 GiB that is not there", "unexpected EOF", Raw(Fields{Name: "f", Type: '0', Size: "77777777777"})),
	}
}
