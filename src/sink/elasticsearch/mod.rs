//! Bulk requests to Elasticsearch and OpenSearch.
