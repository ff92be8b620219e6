import java.util.Collections;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.transport.Netty4Plugin;

/**
 * Elasticsearch 6.8.2 as one node inside this process. That version was never published as an archive; its jars were.
 * The only argument is the node's home, which holds config/elasticsearch.yml.
 */
public final class EmbeddedNode extends Node {
    private EmbeddedNode(Settings settings) {
        super(
            InternalSettingsPreparer.prepareEnvironment(settings, null),
            Collections.singletonList(Netty4Plugin.class),
            false);
    }

    @Override
    protected void registerDerivedNodeNameWithLogger(String nodeName) {
        // Only the archive's own log layout shows the name.
    }

    public static void main(String[] arguments) throws Exception {
        EmbeddedNode node = new EmbeddedNode(Settings.builder().put("path.home", arguments[0]).build());
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (java.io.IOException failure) {
                failure.printStackTrace();
            }
            closed.countDown();
        }));
        node.start();
        closed.await();
    }
}
