package fat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// places of the test image, found by the reader itself.
type places struct {
	table, data int64
	at          map[string]int64 // of the short folder entry, by path
	first       map[string]uint32
}

func findPlaces(t testing.TB, image []byte) places {
	t.Helper()
	f, err := open(image)
	if err != nil {
		t.Fatal(err)
	}
	all, err := f.List()
	if err != nil {
		t.Fatal(err)
	}
	p := places{f.tableAt, f.dataAt, map[string]int64{}, map[string]uint32{}}
	for _, entry := range all {
		p.at[entry.Path] = entry.At
		p.first[entry.Path] = entry.first
	}
	return p
}

func setFirst(image []byte, at int64, cluster uint32) {
	binary.LittleEndian.PutUint16(image[at+20:], uint16(cluster>>16))
	binary.LittleEndian.PutUint16(image[at+26:], uint16(cluster))
}

func TestMalformedFileSystemsAreRefused(t *testing.T) {
	le := binary.LittleEndian
	whole := mtoolsImage(t)
	p := findPlaces(t, whole)
	link := func(image []byte, cluster, next uint32) {
		for table := range int64(2) {
			size := int64(le.Uint32(image[36:])) * 512
			le.PutUint32(image[p.table+table*size+int64(cluster)*4:], next)
		}
	}
	const kernel, other, conf = "EFI/Linux/proa-a.efi", "EFI/BOOT/BOOTX64.EFI", "loader/loader.conf"
	for name, c := range map[string]struct {
		spoil func([]byte)
		says  string
	}{
		"no signature":          {func(b []byte) { b[510] = 0 }, "signature"},
		"half a signature":      {func(b []byte) { b[511] = 0 }, "signature"},
		"sectors of 0":          {func(b []byte) { le.PutUint16(b[11:], 0) }, "sectors of 0"},
		"sectors of 256":        {func(b []byte) { le.PutUint16(b[11:], 256) }, "sectors of 256"},
		"sectors of 1536":       {func(b []byte) { le.PutUint16(b[11:], 1536) }, "sectors of 1536 bytes: want 512"},
		"sectors of 32768":      {func(b []byte) { le.PutUint16(b[11:], 32768) }, "sectors of 32768 bytes: want 512"},
		"clusters of 0":         {func(b []byte) { b[13] = 0 }, "clusters of 0"},
		"clusters of 3":         {func(b []byte) { b[13] = 3 }, "clusters of 3"},
		"clusters too large":    {func(b []byte) { le.PutUint16(b[11:], 4096); b[13] = 128 }, "clusters of 128"},
		"nothing reserved":      {func(b []byte) { le.PutUint16(b[14:], 0) }, "0 reserved"},
		"no tables":             {func(b []byte) { b[16] = 0 }, "0 tables"},
		"255 tables":            {func(b []byte) { b[16] = 255 }, "255 tables: want at least"},
		"root entries":          {func(b []byte) { le.PutUint16(b[17:], 512) }, "FAT12"},
		"16-bit sector count":   {func(b []byte) { le.PutUint16(b[19:], 512) }, "FAT12"},
		"16-bit table size":     {func(b []byte) { le.PutUint16(b[22:], 512) }, "FAT12"},
		"larger than its place": {func(b []byte) { le.PutUint32(b[32:], testSize/512+1) }, "want at most"},
		"2^32-1 sectors":        {func(b []byte) { le.PutUint32(b[32:], 1<<32-1) }, "want at most"},
		"0 sectors":             {func(b []byte) { le.PutUint32(b[32:], 0) }, "want them within 0"},
		"tables of 0 sectors":   {func(b []byte) { le.PutUint32(b[36:], 0) }, "tables of 0"},
		"tables of 2^31":        {func(b []byte) { le.PutUint32(b[36:], 1<<31) }, "tables of 2147483648"},
		"tables too small":      {func(b []byte) { le.PutUint32(b[36:], 99) }, "too small for"},
		"one active table":      {func(b []byte) { b[40] = 0x81 }, "mirrored"},
		"version 1":             {func(b []byte) { b[42] = 1 }, "version"},
		"FAT16 by its size":     {func(b []byte) { le.PutUint32(b[32:], 40000) }, "clusters: want 65525"},
		"root in cluster 1":     {func(b []byte) { le.PutUint32(b[44:], 1) }, "root folder in cluster 1"},
		"root beyond the end":   {func(b []byte) { le.PutUint32(b[44:], 1<<31) }, "root folder in cluster"},
		"root in a free one":    {func(b []byte) { le.PutUint32(b[44:], 60000) }, "chain from cluster 60000"},
		"chain loop":            {func(b []byte) { link(b, p.first[kernel]+5, p.first[kernel]) }, "longer than"},
		"folder chain loop":     {func(b []byte) { link(b, p.first["loader"], p.first["loader"]) }, "longer than"},
		"chain too short":       {func(b []byte) { link(b, p.first[kernel]+5, 0x0fffffff) }, "6 clusters: want"},
		"chain too long":        {func(b []byte) { link(b, p.first[conf], 60000); link(b, 60000, 0x0fffffff) }, "longer than 1"},
		"chain into free":       {func(b []byte) { link(b, p.first[kernel]+5, 0) }, "cluster 0"},
		"chain into cluster 1":  {func(b []byte) { link(b, p.first[kernel]+5, 1) }, "cluster 1:"},
		"chain into a bad one":  {func(b []byte) { link(b, p.first[kernel]+5, 0x0ffffff7) }, "want 2 to"},
		"chain beyond the end":  {func(b []byte) { link(b, p.first[kernel]+5, 0x0ffffff6) }, "want 2 to"},
		"file in cluster 0":     {func(b []byte) { setFirst(b, p.at[conf], 0) }, "chain from cluster 0"},
		"file beyond the end":   {func(b []byte) { setFirst(b, p.at[conf], 1<<31) }, "chain from cluster"},
		"file of 2^32-1 bytes":  {func(b []byte) { le.PutUint32(b[p.at[conf]+28:], 1<<32-1) }, "want 8388608"},
		"empty file's cluster":  {func(b []byte) { setFirst(b, p.at["loader/empty"], 60000) }, "empty file"},
		"files share a cluster": {func(b []byte) { setFirst(b, p.at[conf], p.first[other]+1); link(b, p.first[other]+1, 0x0fffffff) }, ""},
		"file twice": {func(b []byte) {
			setFirst(b, p.at[conf], p.first["loader/a rather long name of many characters.text"]+1)
		}, "belongs to two files"},
		"folder in itself":        {func(b []byte) { setFirst(b, p.at["EFI/Linux"], p.first["EFI"]) }, "is the same as"},
		"folder is the root":      {func(b []byte) { setFirst(b, p.at["loader"], le.Uint32(b[44:])) }, "is the same as"},
		"lost cluster":            {func(b []byte) { link(b, 60000, 0x0fffffff) }, "belongs to no file"},
		"tables differ":           {func(b []byte) { b[p.table+7000*4] = 9 }, "belongs to no file"},
		"second table differs":    {func(b []byte) { b[p.table+int64(le.Uint32(b[36:]))*512+70000*4] = 9 }, "differ"},
		"wrong ..":                {func(b []byte) { setFirst(b, p.data+int64(p.first["EFI"]-2)*512+32, le.Uint32(b[44:])) }, `want ".."`},
		"wrong .":                 {func(b []byte) { setFirst(b, p.data+int64(p.first["EFI"]-2)*512, 9) }, `want "."`},
		"long name alone":         {func(b []byte) { b[p.at[conf]] = 0xe5 }, "without its short one"},
		"long name at the end":    {func(b []byte) { b[p.at[conf]] = 0 }, "without its short one"},
		"long name of another":    {func(b []byte) { b[p.at[conf]] ^= 1 }, "does not belong"},
		"long name's checksum":    {func(b []byte) { b[p.at["loader/a rather long name of many characters.text"]-64+13] ^= 1 }, "out of order"},
		"long name's order":       {func(b []byte) { b[p.at["loader/a rather long name of many characters.text"]-64] = 3 }, "out of order"},
		"long name begun twice":   {func(b []byte) { b[p.at["loader/a rather long name of many characters.text"]-64] |= 0x40 }, "inside another"},
		"long name incomplete":    {func(b []byte) { b[p.at[conf]-32] = 0x42 }, "does not belong"},
		"long name of 63 parts":   {func(b []byte) { b[p.at[conf]-32] = 0x7f }, "out of bounds"},
		"long name of 0 parts":    {func(b []byte) { b[p.at[conf]-32] = 0x40 }, "out of bounds"},
		"slash in a long name":    {func(b []byte) { b[p.at[conf]-32+3] = '/' }, "is not allowed"},
		"long name with dot":      {func(b []byte) { b[p.at[conf]-32+1], b[p.at[conf]-32+3], b[p.at[conf]-32+4] = '.', 0, 0 }, "want one that does not end"},
		"long name ends in a dot": {func(b []byte) { b[p.at[conf]-32+28] = 0; b[p.at[conf]-32+24] = '.'; b[p.at[conf]-32+26] = 0 }, "want one that does not end"},
		"long name empty":         {func(b []byte) { b[p.at[conf]-32+1] = 0 }, "want one that does not end"},
		"control in a long name":  {func(b []byte) { b[p.at[conf]-32+3] = 7 }, "is not allowed"},
		"foreign long name":       {func(b []byte) { b[p.at[conf]-32+3] = 0xe4 }, "is not allowed"},
		"folder without dots":     {func(b []byte) { b[p.data+int64(p.first["EFI/BOOT"]-2)*512] = 0 }, `want "."`},
		"folder's first is ..":    {func(b []byte) { at := p.data + int64(p.first["EFI"]-2)*512; copy(b[at:], ".."); copy(b[at+32:], ". ") }, `want "."`},
		"slash in a short name":   {func(b []byte) { b[p.at[other]+2] = '/' }, "is not allowed"},
		"space in a short name":   {func(b []byte) { b[p.at[other]+2] = ' ' }, "is not allowed"},
		"byte 0xff in a name":     {func(b []byte) { b[p.at[other]+2] = 0xff }, "is not allowed"},
		"lower case short name":   {func(b []byte) { b[p.at[other]+2] = 'o' }, "is not allowed"},
		"short name empty":        {func(b []byte) { copy(b[p.at[other]:], "           ") }, "want a name"},
		"one name twice":          {func(b []byte) { copy(b[p.at["EFI"]:][:11], "LOADER     ") }, "two entries answer"},
		"alias of a long name":    {func(b []byte) { copy(b[p.at["loader/empty"]:][:11], "LOADER~1CON") }, "two entries answer"},
	} {
		t.Run(name, func(t *testing.T) {
			image := bytes.Clone(whole)
			c.spoil(image)
			f, err := open(image)
			if err == nil {
				err = f.Check()
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v: want one that says %q", err, c.says)
			}
		})
	}
}

func TestTruncatedImagesAreErrors(t *testing.T) {
	whole := mtoolsImage(t)
	p := findPlaces(t, whole)
	for _, size := range []int64{0, 511, 512, p.table + 100, p.data, p.data + 1024} {
		f, err := Open(bytes.NewReader(whole[:size]), testSize)
		if err == nil {
			err = f.Check()
		}
		if err == nil || !strings.Contains(err.Error(), "reading") {
			t.Errorf("cut after %d bytes: %v", size, err)
		}
	}
	boot := bytes.Clone(whole[:512])
	boot[13] = 1
	binary.LittleEndian.PutUint32(boot[32:], 1<<32-1)
	binary.LittleEndian.PutUint32(boot[36:], 1<<25)
	if _, err := Open(bytes.NewReader(boot), 1<<62); err == nil || !strings.Contains(err.Error(), "clusters: want") {
		t.Errorf("a volume of 2 TiB: %v", err)
	}
	cut, err := Open(bytes.NewReader(whole[:p.data+int64(p.first["EFI/BOOT/BOOTX64.EFI"])*512+1000]), testSize)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cut.ReadFile("EFI/BOOT/BOOTX64.EFI", 1<<20); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a file beyond the end was read: %v", err)
	}
	file, err := cut.Open("EFI/BOOT/BOOTX64.EFI")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := file.ReadAt(make([]byte, 1024), 140_000); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes beyond the end were read: %v", n, err)
	}
}

func TestBrokenFilesAreNotMissingFiles(t *testing.T) {
	image := mtoolsImage(t)
	p := findPlaces(t, image)
	setFirst(image, p.at["loader/loader.conf"], 0)
	f, err := open(image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFile("loader/loader.conf", 4096); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file without clusters: %v", err)
	}
	setFirst(image, p.at["loader"], 0)
	if _, err := f.Find("loader/loader.conf"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file in a folder without clusters: %v", err)
	}
}

func TestFoldersAreOfBoundedDepth(t *testing.T) {
	image := filepath.Join(t.TempDir(), "esp.img")
	if err := os.WriteFile(image, mtoolsImage(t), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := ""
	for n := range mostDepth {
		folder += "/d"
		if out, err := exec.Command("mmd", "-i", image, "::"+folder).CombinedOutput(); err != nil {
			t.Fatalf("mmd %s: %v\n%s", folder, err, out)
		}
		content, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		f, err := open(content)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Check(); (err != nil) != (n+2 > mostDepth) {
			t.Errorf("%d folders below each other: %v", n+1, err)
		}
	}
}

// FuzzFileSystem replaces the boot sector, the first page of the table and the
// first folders.
func FuzzFileSystem(f *testing.F) {
	image := mtoolsImage(f)
	p := findPlaces(f, image)
	whole := bytes.Clone(image)
	const tablePart, dataPart = 4096, 8192
	f.Add(whole[:512], whole[p.table:][:tablePart], whole[p.data:][:dataPart])
	loop := bytes.Clone(whole[p.table:][:tablePart])
	copy(loop[4*p.first["loader"]:], loop[4*p.first["EFI"]:][:4])
	f.Add(whole[:512], loop, whole[p.data:][:dataPart])
	f.Fuzz(func(t *testing.T, boot, table, data []byte) {
		for _, part := range []struct {
			at, size int64
			content  []byte
		}{{0, 512, boot}, {p.table, tablePart, table}, {p.data, dataPart, data}} {
			copy(image[part.at:], whole[part.at:part.at+part.size])
			copy(image[part.at:part.at+part.size], part.content)
		}
		f, err := open(image)
		if err != nil {
			return
		}
		checked := f.Check()
		all, err := f.List()
		if checked == nil && err != nil {
			t.Fatalf("Check is content, List is not: %v", err)
		}
		for _, entry := range all {
			if strings.Contains(entry.Path, "..") && strings.Contains("/"+entry.Path+"/", "/../") {
				t.Fatalf("path %q", entry.Path)
			}
			extents, err := f.Extents(entry)
			if err != nil {
				continue
			}
			var sum int64
			for _, extent := range extents {
				if extent.Offset < f.dataAt || extent.Length <= 0 || extent.Offset+extent.Length > testSize {
					t.Fatalf("%q: extent %+v", entry.Path, extent)
				}
				sum += extent.Length
			}
			if sum != entry.Size && !entry.Folder {
				t.Fatalf("%q: extents of %d bytes, size %d", entry.Path, sum, entry.Size)
			}
		}
	})
}
