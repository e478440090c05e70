// Makes an eStargz layer of a tar file and a record of `cwsgi record --format estargz`, as
// `nerdctl image convert --estargz-record-in` does, and prints what is in it, in order.
package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/recorder"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: estargz RECORD LAYER")
	}
	record, err := os.Open(os.Args[1])
	check(err)
	layer, err := os.Open(os.Args[2])
	check(err)
	status, err := layer.Stat()
	check(err)
	var missed []string
	blob, err := estargz.Build(io.NewSectionReader(layer, 0, status.Size()),
		estargz.WithPrioritizedFiles(paths(record)),
		estargz.WithAllowPrioritizeNotFound(&missed))
	check(err)
	defer blob.Close()
	list(blob)
	fmt.Fprintln(os.Stderr, len(missed))
}

func paths(record io.Reader) (found []string) {
	decoder := json.NewDecoder(record)
	decoder.DisallowUnknownFields()
	for decoder.More() {
		var entry recorder.Entry
		check(decoder.Decode(&entry))
		found = append(found, entry.Path)
	}
	return found
}

func list(blob io.Reader) {
	// What it is to clients that know nothing of eStargz: a tar file, compressed by gzip.
	unpacked, err := gzip.NewReader(blob)
	check(err)
	for entries := tar.NewReader(unpacked); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		check(err)
		if header.Typeflag != tar.TypeDir {
			fmt.Println(header.Name)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
