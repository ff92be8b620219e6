// Bento with the components these two configurations need, as its documentation shows for a distribution of one's own.
package main

import (
	"context"

	_ "github.com/warpstreamlabs/bento/public/components/elasticsearch"
	_ "github.com/warpstreamlabs/bento/public/components/io"
	_ "github.com/warpstreamlabs/bento/public/components/kafka"
	_ "github.com/warpstreamlabs/bento/public/components/pure"
	"github.com/warpstreamlabs/bento/public/service"
)

func main() {
	service.RunCLI(context.Background())
}
